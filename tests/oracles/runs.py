"""Small runs of train-llm, for the tests that need some."""

import itertools
import json
import subprocess


class Runs:
    """A folder with a text, a tokenizer trained on it, and what a run needs to find both."""

    def __init__(self, train_llm, folder):
        self.train_llm, self.folder = train_llm.resolve(), folder
        self.text = folder / "text.txt"
        words = ("the quick brown fox jumps over a lazy dog while seven wizards mix black quartz and juggle vexed imps "
                 "because nobody knows how many of them will come back from the mountain before winter").split()
        self.text.write_text("\n".join(" ".join(words[(i * j + j * j) % len(words)] for j in range(1, 16))
                                       for i in range(600)))
        self.tokenizer = folder / "tok.model"
        self.check("tokenizer", "train", self.text, "--vocab-size", 300, "--output", self.tokenizer)

    def run(self, *arguments, **keywords):
        return subprocess.run([self.train_llm, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder,
                              timeout=300, **keywords)

    def check(self, *arguments, **keywords):
        result = self.run(*arguments, **keywords)
        assert result.returncode == 0, f"{arguments} ended with {result.returncode}: {result.stderr[-2000:]}"
        return result

    def start(self, *arguments):
        """A process that goes on beside the test."""
        return subprocess.Popen([self.train_llm, *map(str, arguments)], cwd=self.folder, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def train_arguments(self, out, *overrides):
        return ["train", "smoke", f"data.train={self.text}", f"data.tokenizer={self.tokenizer}", f"train.out_dir={out}",
                *overrides]

    def metrics(self, out):
        return [json.loads(line) for line in (self.folder / out / "metrics.jsonl").read_text().splitlines()]

    def losses(self, out):
        return [(r["step"], r["train/loss"]) for r in self.metrics(out) if r["event"] == "train"]

    def evaluations(self, out):
        return [(r["step"], r["val/loss"]) for r in self.metrics(out) if r["event"] == "eval"]

    def checkpoint(self, out, step):
        return self.folder / out / "checkpoints" / f"step-{step:08d}"

    def weights(self, out, step):
        """Everything that a run computed, byte for byte."""
        return [(self.checkpoint(out, step) / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]

    def assert_same_run(self, out, straight, step):
        """Two runs computed the same, bit for bit, up to a step."""
        for what, of in (("losses", self.losses), ("evaluations", self.evaluations)):
            odd = [pair for pair in itertools.zip_longest(of(out), of(straight)) if pair[0] != pair[1]]
            assert not odd, f"the {what} of {out} and {straight} differ, first in {odd[0]}"
        assert self.weights(out, step) == self.weights(straight, step), f"the weights of {out} and {straight} differ"
