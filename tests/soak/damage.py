"""Files that were damaged are found, and named."""

import os
import pathlib
import shutil

import engine

STEPS = 30


def damage(path, generator):
    """Flips a bit, cuts the file or appends to it. @returns what it did, for messages"""
    data = bytearray(path.read_bytes())
    kind = generator.choice(("flip", "flip", "flip", "cut", "longer")) if data else "longer"
    if kind == "flip":
        at, bit = generator.randrange(len(data)), generator.randrange(8)
        data[at] ^= 1 << bit
        done = f"bit {bit} of byte {at} flipped"
    elif kind == "cut":
        length = generator.randrange(len(data))
        del data[length:]
        done = f"cut to {length} bytes"
    else:
        data += bytes([generator.randrange(256)])
        done = "a byte longer"
    path.unlink()  # it may be a link to a file that stays as it is
    path.write_bytes(data)
    return f"{path.parent.name}/{path.name}: {done}"


def copy_run(source, target):
    """A copy of a run's folder, or of a checkpoint, in which files of checkpoints are hard links: nothing writes to them."""
    def copy(file, to):
        (os.link if "checkpoints" in pathlib.Path(file).parts else shutil.copy2)(file, to)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=copy)


class DamagedCheckpoints(engine.Case):
    """a bit of one file of each checkpoint is flipped, or the file cut or made longer: a resume skips them all, names the
    file, and goes on from the one that is whole"""

    def __init__(self, runs):
        super().__init__(runs)
        runs.check(*self.train("base"))

    def train(self, out):
        return self.runs.train_arguments(out, f"train.max_steps={STEPS}", "checkpoint.interval=1", "eval.interval=0",
                                         f"checkpoint.keep_last={STEPS}")

    def attempt(self, number, generator):
        copy_run(self.runs.folder / "base", self.runs.folder / "damaged")
        done = {}
        for step in range(2, STEPS + 1):
            directory = self.runs.checkpoint("damaged", step)
            path = directory / generator.choice(sorted(os.listdir(directory)))
            done[path] = damage(path, generator)
        result = self.runs.run(*self.train("damaged"), "--stop-after", 1)
        assert result.returncode == 0, (result.returncode, result.stderr)
        for path, what in done.items():
            lines = [line for line in result.stderr.splitlines() if path.parent.name in line and "skipped" in line]
            assert len(lines) == 1 and path.name in lines[0], f"not found: {what}: {lines}"
        assert "step-00000001 at step 1" in result.stderr, result.stderr
        return len(done)


class DamagedModels(engine.Case):
    """a file of a checkpoint is damaged as above: every command that reads weights ends with exit 4 and names the file"""

    def __init__(self, runs):
        super().__init__(runs)
        runs.check(*runs.train_arguments("base"))
        self.model = runs.checkpoint("base", 20)
        self.read = runs.folder / "model"

    def commands(self):
        text = self.runs.text
        return {"generate": ["generate", self.read, "--prompt", "the quick", "--max-new-tokens", 4],
                "eval": ["eval", self.read, "--text", text, "--tokens", 256]}

    def attempt(self, number, generator):
        for arguments in self.commands().values():
            copy_run(self.model, self.read)
            path = self.read / "model.safetensors"
            what = damage(path, generator)
            result = self.runs.run(*arguments)
            assert result.returncode == 4 and path.name in result.stderr, \
                f"{arguments[0]}: {what}: exit {result.returncode}: {result.stderr}"
        return len(self.commands())


class DamagedTokenFiles(engine.Case):
    """the token file of a run is damaged as above: the resume is refused and names it"""

    def __init__(self, runs):
        super().__init__(runs)
        runs.check("prepare", runs.text, "--tokenizer", runs.tokenizer, "--output", runs.folder / "prepared")
        [self.tokens] = (runs.folder / "prepared").iterdir()
        self.whole = runs.folder / "whole.tokens"
        shutil.copy2(self.tokens, self.whole)
        runs.check(*self.train(), "--stop-after", 2)

    def train(self):
        return ["train", "smoke", f"data.train={self.tokens}", f"data.tokenizer={self.runs.tokenizer}",
                "train.out_dir=run"]

    def attempt(self, number, generator):
        shutil.copy2(self.whole, self.tokens)
        what = damage(self.tokens, generator)
        result = self.runs.run(*self.train(), "--stop-after", 2)
        assert result.returncode in (3, 4) and self.tokens.name in result.stderr, \
            f"{what}: exit {result.returncode}: {result.stderr}"
        return 1
