"""Two ranks, of which one is lost."""

import re
import shutil
import signal
import time

import engine
from ranks import LONG, Ranks

TIMEOUT = 4
SLACK = 6  # seconds, for a busy machine
KEYS = ["train.threads=1", f"parallel.timeout_seconds={TIMEOUT}", "train.micro_batch_size=1", "data.cache_dir=cache_of_ranks"]


class LostRanks(engine.Case):
    """one of two ranks is killed or stopped in the start, while text is prepared, the model built, in a step, an evaluation
    or a save: the other ends within the timeout, with exit 7, and names the rank that was lost"""

    phases = ("start", "data", "build", "step", "evaluation", "save")

    def __init__(self, runs):
        super().__init__(runs)
        self.big = runs.folder / "big.txt"
        self.big.write_text("".join(f"{line} {i}\n" for i in range(100) for line in runs.text.read_text().splitlines()))

    def keys(self, phase):
        long_evaluation = [f"data.validation={self.runs.text}", "data.validation_tokens=100000000", "data.sequence_length=4"]
        return [*KEYS, *LONG, *{"data": [f"data.train={self.big}"], "evaluation": long_evaluation,
                                "save": ["checkpoint.interval=1", "model.hidden_size=256"],
                                "build": ["model.num_hidden_layers=64"]}.get(phase, [])]

    def wait_until(self, there):
        end = time.monotonic() + 120
        while not there():
            assert time.monotonic() < end, "the phase never came"
            time.sleep(0.001)

    def reach(self, phase, ranks, generator):
        folder = self.runs.folder
        if phase == "data":
            self.wait_until(lambda: list((folder / "cache_of_ranks").glob("*.tmp-*")))
        elif phase == "save":
            self.wait_until(lambda: list((folder / "lost" / "checkpoints").glob("*.tmp-*")))
        elif phase == "evaluation":
            ranks.wait_for("training")
            time.sleep(0.2)
        elif phase == "step":
            ranks.wait_for("step 5/")
        elif phase == "build":
            self.wait_until(lambda: list((folder / "cache_of_ranks").glob("*.tokens")))
        time.sleep(generator.uniform(0, 0.7 if phase == "start" else 0.05))

    def attempt(self, number, generator):
        phase = self.phases[number % len(self.phases)]
        lost, sent = generator.randrange(2), generator.choice((signal.SIGKILL, signal.SIGSTOP))
        for name in ("lost", "cache_of_ranks"):
            shutil.rmtree(self.runs.folder / name, ignore_errors=True)
        command = [self.runs.train_llm, *self.runs.train_arguments("lost", *self.keys(phase))]
        with Ranks(self.runs, [command] * 2) as ranks:
            self.reach(phase, ranks, generator)
            ranks.processes[lost].send_signal(sent)
            [(code, message)] = ranks.ends([1 - lost], within=TIMEOUT + SLACK)
        where = f"rank {lost} got {sent.name} in {phase}"
        assert code == 7, f"{where}: exit {code}: {message}"
        assert re.search(rf"rank {lost}\b.*(last seen at step|never joined)", message), f"{where}: {message}"
        return 1
