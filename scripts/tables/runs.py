"""The runs of a table: planned, started, resumed, and read. A finished run has a result.json and is not run again."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import time

from tables import TableError
from tables.plan import merge

PATHS = ("data.train", "data.validation", "data.tokenizer", "data.cache_dir", "train.out_dir")
OBSERVED = ("sample.", "probes.")  # keys that change nothing in what is trained
TRAINING_STOPPED = 5  # train-llm's exit code
POLL_SECONDS = 0.05
VARIANCE_TOKENS = 32768


@dataclasses.dataclass
class Run:
    """One training run. folder: named by the hash of its config and data, so that a change of either is another run."""

    column: str
    row: str
    seed: int
    config: dict
    folder: pathlib.Path
    cost: dict  # tokens, flops, checkpoint bytes, of `train-llm plan`

    def name(self):
        return f"{self.column}, {self.row}, seed {self.seed}"

    def result(self):
        """What it came to, or None."""
        path = self.folder / "result.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_json(path, value):
    """All of it or nothing."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


def cost_of(facts):
    """Of `train-llm plan`: a checkpoint holds the weights and Adam's two moments."""
    bytes_each = 2 if facts["config"]["train.precision"]["value"] == "bf16" else 4
    return {"tokens": facts["tokens"], "flops": facts["tokens"] * facts["flops_per_token"],
            "checkpoint": 3 * bytes_each * facts["parameters"]["total"]}


def plan_runs(program, plan, rows, columns, seeds, extra, data, folder):
    """Every run, seed by seed, so that a table that is stopped early has all rows. data: None in a dry run"""
    runs = []
    folder.mkdir(parents=True, exist_ok=True)
    for column in columns:
        for row in rows:
            config = merge(plan.config(column, row, seeds[0]), extra)
            path = folder / "plan.json"
            write_json(path, config)
            facts = program.facts("plan", path)
            path.unlink()
            values = {key: entry["value"] for key, entry in facts["config"].items() if key not in PATHS and not key.startswith(OBSERVED)}
            for seed in seeds:
                config = merge(plan.config(column, row, seed), extra)
                values["train.seed"], values["data.shuffle_seed"] = seed, config["data"]["shuffle_seed"]
                identity = json.dumps([values, data.identity if data else None], sort_keys=True)
                key = hashlib.sha256(identity.encode()).hexdigest()[:10]
                where = folder.resolve() / "runs" / f"{column}-{row}-{seed}-{key}"
                if data:
                    config = merge(config, {"data": data.keys, "train": {"out_dir": str(where)}})
                runs.append(Run(column, row, seed, config, where, cost_of(facts)))
    order = {seed: number for number, seed in enumerate(seeds)}
    return sorted(runs, key=lambda run: (columns.index(run.column), order[run.seed]))


class Process:
    """A run in progress: training, then the variance of each layer."""

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
        data = self.run.config["data"]
        words = ["diagnose", self.run.folder, "--tokens", *self.data.validation, "--probe", "variance", "--json", "--mode",
                 data.get("mode", "packed"), "--sequence-length", data.get("sequence_length", 256), "--max-tokens",
                 VARIANCE_TOKENS]
        self.training = False
        self.start(words, self.run.folder / "variance.json")

    def poll(self):
        """Whether the run is over. @raises TableError when train-llm failed for a reason that is no result"""
        code = self.process.poll()
        if code is None:
            return False
        diverged = [record for record in self.records() if record["event"] == "divergence"]
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

    def records(self):
        path = self.run.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def finish(self, found):
        records = self.records()
        interval = self.run.config.get("log", {}).get("interval", 10)
        steps = [record for record in records if record["event"] == "train"]
        last = [record for record in records if record["event"] == "eval"][-1]
        seconds = sum(record["perf/step_ms"] for record in steps) * interval / 1000
        found = {"column": self.run.column, "row": self.run.row, "seed": self.run.seed, "seconds": seconds,
                 "finished": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), **found,
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


def free_bytes(folder):
    return shutil.disk_usage(folder).free
