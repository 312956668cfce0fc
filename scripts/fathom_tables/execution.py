"""Runs in progress: started, resumed, watched, stopped, and their result.json written."""

import json
import signal
import time

from fathom_tables import TableError
from fathom_tables.runs import write_json

TRAINING_STOPPED = 5  # train-llm's exit code
POLL_SECONDS = 0.05
VARIANCE_TOKENS = 32768


def training_seconds(records):
    """Of steps alone. A record has the mean time of the steps since the one before."""
    seconds, before = 0.0, 0
    for record in records:
        if record["event"] == "train":
            seconds += record["perf/step_ms"] * (record["step"] - before) / 1000
            before = record["step"]
    return seconds


class Process:
    """A run in progress: training, then the variance of each layer, on rows as the run has them."""

    def __init__(self, program, run, data):
        self.program, self.run, self.data = program, run, data
        run.folder.mkdir(parents=True, exist_ok=True)
        config = run.folder / "run.json"
        write_json(config, run.config)
        self.log = run.folder / "train.log"
        self.training = True
        self.start(["train", config], run.folder / "train.out")

    def start(self, words, output):
        with open(output, "w", encoding="utf-8") as out, open(self.log, "a", encoding="utf-8") as errors:
            self.log_start = errors.tell()
            self.process = self.program.start(words, out, errors)

    def last_line(self):
        with open(self.log, encoding="utf-8") as log:
            log.seek(self.log_start)
            lines = log.read().strip().splitlines() or ["no message"]
        return lines[-1].removeprefix("train-llm: ")

    def measure(self):
        self.training = False
        words = ["diagnose", self.run.folder, "--tokens", *self.data.validation, "--probe", "variance", "--json",
                 "--max-tokens", VARIANCE_TOKENS]
        self.start(words, self.run.folder / "variance.json")

    def poll(self):
        """Whether the run is over. @raises TableError when train-llm failed for a reason that is no result"""
        code = self.process.poll()
        if code is None:
            return False
        diverged = [record for record in self.run.records() if record["event"] == "divergence"]
        if code == TRAINING_STOPPED and diverged:
            self.finish({"status": "diverged", "step": diverged[-1]["divergence/step"], "message": self.last_line()})
            return True
        if code != 0:
            raise TableError(f"{self.run.name()}: {self.last_line()} (all of it: {self.log})",
                             128 - code if code < 0 else code)
        if self.training:
            self.measure()
            return False
        variance = json.loads((self.run.folder / "variance.json").read_text(encoding="utf-8"))
        self.finish({"status": "done", "variance": variance["probes"][0]["values"]})
        return True

    def finish(self, found):
        records = self.run.records()
        last = [record for record in records if record["event"] == "eval"][-1]
        found = {"column": self.run.column, "row": self.run.row, "seed": self.run.seed,
                 "seconds": training_seconds(records), "finished": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), **found,
                 "unigram_loss": last["val/unigram_loss"]}
        if found["status"] == "done":
            found.update(step=last["step"], loss=last["val/loss"], ppl=last["val/ppl"], tokens=last["tokens"])
        write_json(self.run.folder / "result.json", found)


class Stop:
    """Set by SIGINT and SIGTERM."""

    def __init__(self):
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.set)

    def set(self, number, _frame):
        self.number = number


def end_all(processes):
    """They save; a later call of the same command goes on there."""
    for process in processes:
        if process.process.poll() is None:
            process.process.send_signal(signal.SIGTERM)
    for process in processes:
        process.process.wait()


def run_all(program, runs, data, jobs, on_done):
    """Runs what has no result yet, `jobs` at a time. on_done(run, left) after each. @raises TableError"""
    stop = Stop()
    waiting = [run for run in runs if run.result() is None]
    running = []
    try:
        while waiting or running:
            if stop.number:
                raise TableError("stopped; the same command goes on from here", 128 + stop.number)
            while waiting and len(running) < jobs:
                running.append(Process(program, waiting.pop(0), data))
            for process in [process for process in running if process.poll()]:
                running.remove(process)
                on_done(process.run, len(waiting) + len(running))
            time.sleep(POLL_SECONDS)
    finally:
        end_all(running)
