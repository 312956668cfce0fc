"""A run whose system calls fail, or that is killed before one."""

import random
import shutil
import subprocess

import engine
import faults
import support

STEPS = 20
ERRORS = {"ENOSPC": ("openat", "mkdir", "write", "pwrite64", "fsync", "rename", "renameat2"),
          "EIO": (*faults.CHANGES, *faults.READS),
          "EINTR": ("openat", "read", "write", "pwrite64", "close")}
MESSAGES = {"ENOSPC": "No space left on device", "EIO": "Input/output error", "EINTR": "Interrupted system call"}


class Interrupted(engine.Case):
    """A run that goes on at step 10, saves at 15, removes what is older, and saves for the last time at 20."""

    def __init__(self, runs):
        super().__init__(runs)
        runs.check(*self.train("base"), "--stop-after", 10)
        self.copy("straight")
        runs.check(*self.train("straight"))

    def train(self, out):
        return self.runs.train_arguments(out, "checkpoint.interval=5", "checkpoint.keep_last=1", "eval.interval=0")

    def copy(self, out):
        shutil.rmtree(self.runs.folder / out, ignore_errors=True)
        shutil.copytree(self.runs.folder / "base", self.runs.folder / out)

    def finish(self, out):
        """Resumes without a fault: all is as if there had been none."""
        self.runs.check(*self.train(out))
        assert self.runs.weights(out, STEPS) == self.runs.weights("straight", STEPS), "the weights differ"
        left = [path.name for path in (self.runs.folder / out).rglob("*") if ".tmp-" in path.name or ".trash-" in path.name]
        assert not left, f"left behind: {left}"


def shuffled(points):
    """In an order that is the same in each campaign: those that come first are not all alike."""
    order = list(points)
    random.Random(1).shuffle(order)
    return order


class AtCalls(Interrupted):
    """Faults at each of `calls` by which the run reads or changes its folder."""

    calls = ()

    def __init__(self, runs):
        super().__init__(runs)
        self.tracer = faults.Tracer(runs.train_llm, runs.folder)
        self.copy("swept")
        self.points = self.tracer.points(self.train("swept"), self.calls, "swept")


class KillsBeforeCalls(AtCalls):
    """kill -9 before each system call by which a resumed run changes its folder, with two saves and a removal: resumed, it
    ends with the losses and weights of a run that nothing happened to"""

    calls = faults.CHANGES

    def attempt(self, number, generator):
        point = shuffled(self.points)[number % len(self.points)]
        self.copy("swept")
        done, reached = self.tracer.inject(self.train("swept"), point, "signal=SIGKILL")
        where = f"killed before {point[0]} {point[1]}, in an undisturbed run {point[2]}"
        assert reached and done.returncode == -9, f"{where}: exit {done.returncode} {done.stderr}"
        try:
            self.finish("swept")
            self.runs.assert_same_run("swept", "straight", STEPS)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        return 1


class FailingCalls(AtCalls):
    """each of these calls, and each that reads, fails once with ENOSPC, EIO or EINTR: the run goes on with a warning or
    ends with exit 6 (3 or 4 where it couldn't read) and says why; resumed, it ends with the same weights"""

    calls = (*faults.CHANGES, *faults.READS)

    def attempt(self, number, generator):
        points = shuffled((error, point) for error, calls in ERRORS.items() for point in self.points if point[0] in calls)
        error, point = points[number % len(points)]
        self.copy("swept")
        done, reached = self.tracer.inject(self.train("swept"), point, f"error={error}")
        where = f"{point[0]} {point[1]} gave {error}, in an undisturbed run {point[2]}"
        assert reached, f"{where}: wasn't reached"
        allowed = (0, 3, 4, 6) if point[0] in ("openat", *faults.READS) else (0, 6)
        assert done.returncode in allowed, f"{where}: exit {done.returncode} {done.stderr}"
        if done.returncode != 0:
            assert MESSAGES[error] in done.stderr, f"{where}: {done.stderr}"
        try:
            if done.returncode == 0:
                assert self.runs.weights("swept", STEPS) == self.runs.weights("straight", STEPS), "the weights differ"
            self.finish("swept")
        except (AssertionError, OSError) as failure:
            raise AssertionError(f"{where}: {failure}; it printed {done.stderr}") from failure
        return 1


FULL_DISK = """
mount -t tmpfs -o size=$1 none disk && cp -r base/. disk || exit 100
shift
"$@" > first 2>&1; echo $? > code
mount -o remount,size=1g disk || exit 100
"$@" > second 2>&1; echo $? >> code
cp -r disk/. after
"""


class FullDisk(Interrupted):
    """a file system that is too small for what the run saves, by some bytes or by much, with the short writes that it
    makes: exit 6 or a warning; with room, the run ends with the same weights"""

    def __init__(self, runs):
        super().__init__(runs)
        if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0:
            raise support.NotHere("no file system may be mounted here (unshare -rm)")
        (runs.folder / "disk").mkdir()

    @staticmethod
    def bytes_of(folder):
        return sum(path.stat().st_size + 4096 for path in folder.rglob("*"))

    def attempt(self, number, generator):
        folder = self.runs.folder
        shutil.rmtree(folder / "after", ignore_errors=True)
        (folder / "after").mkdir()
        base = self.bytes_of(folder / "base")
        room = base + generator.randrange(3 * base)
        done = subprocess.run(["unshare", "-rm", "sh", "-c", FULL_DISK, "sh", str(room), self.runs.train_llm,
                               *map(str, self.train("disk"))], cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        (first, second), message = (folder / "code").read_text().split(), (folder / "first").read_text()
        assert first in ("0", "6"), f"{room} bytes: exit {first}: {message}"
        assert first == "0" or "No space left" in message or "free" in message, f"{room} bytes: {message}"
        assert second == "0", f"{room} bytes: exit {second}: {(folder / 'second').read_text()}"
        first_of = slice(0, 1 if "holds the model alone" in message else 2)  # then there is no optimizer
        after = [self.runs.checkpoint("after", STEPS) / name for name in ("model.safetensors", "optimizer.safetensors")]
        assert [path.read_bytes() for path in after[first_of]] == self.runs.weights("straight", STEPS)[first_of], \
            f"{room} bytes: the weights differ"
        return int(first != "0" or "warning" in message)
