"""Kills and failing system calls at every point of saving and removing checkpoints.

strace lets the N-th call of a kind fail, or kills the program just before it, for every N and every
kind of call that changes the disk. Afterwards the newest valid checkpoint is the old or the new one.
"""

import pathlib
import re
import shutil
import subprocess
import tempfile

import support
from faults import CHANGES, Tracer

FAILURES = {"ENOSPC": ("openat", "mkdir", "write", "fsync", "rename"),
            "EIO": ("openat", "mkdir", "write", "fsync", "rename", "close", "read")}
MESSAGES = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}
OLD, NEW = "old-content", "new-content"


class Sweep:
    """Runs the tool on fresh copies of a directory with two checkpoints, one fault at a time."""

    def __init__(self, tool, directory):
        self.tool, self.tracer = tool, Tracer(tool, directory)
        self.base = directory / "base"
        self.root = directory / "root"
        self.points = 0
        for step in ("1", "2"):
            self.run(["save", self.base, step, OLD])

    def run(self, arguments):
        done = subprocess.run([self.tool, *arguments], check=True, text=True, capture_output=True)
        assert not done.stderr, done.stderr  # no checkpoint is ever skipped as damaged
        return done.stdout.strip()

    def reset(self):
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.base, self.root)

    def faults(self, command, call, fault):
        """For every call of the kind on the directory: (N, the finished process)."""
        self.reset()
        for point in self.tracer.points(command, [call], self.root):
            self.reset()
            done, reached = self.tracer.inject(command, point, fault)
            assert reached, f"{command[0]}: {point} wasn't reached"
            self.points += 1
            yield point[1], done

    def newest(self):
        """(step, first content) of the newest valid checkpoint, and that it is whole."""
        step, content = self.run(["newest", self.root]).split(" ")
        assert content in (3 * OLD, 3 * NEW), content
        return step, content[: len(OLD)]


def check_kills(sweep, command, allowed):
    for call in CHANGES:
        for n, done in sweep.faults(command, call, "signal=SIGKILL"):
            where = f"{command[0]}: killed before {call} {n}"
            assert done.returncode == -9, f"{where}: exit {done.returncode} {done.stderr}"
            assert sweep.newest() in allowed, f"{where}: {sweep.newest()}"
            for path in sweep.root.glob("step-????????"):
                assert len(list(path.iterdir())) == 4, f"{where}: {path.name} is half there"
            sweep.run(["leftovers", sweep.root])
            assert sweep.newest() in allowed, f"{where}, leftovers removed: {sweep.newest()}"
            left = sorted(path.name for path in sweep.root.iterdir())
            assert all(re.fullmatch(r"step-\d{8}", name) for name in left), f"{where}: {left}"


def check_failures(sweep, command, old, new):
    for error, calls in FAILURES.items():
        for call in calls:
            for n, done in sweep.faults(command, call, f"error={error}"):
                where = f"{command[0]}: {call} {n} gave {error}"
                assert done.returncode in (0, 6), f"{where}: exit {done.returncode} {done.stderr}"
                newest = sweep.newest()
                assert newest in (old, new), f"{where}: {newest}"
                if done.returncode == 0:
                    assert newest == new, f"{where}: done, but the newest is {newest}"
                    continue
                assert MESSAGES[error] in done.stderr, f"{where}: {done.stderr}"
                assert str(sweep.root) in done.stderr, f"{where}: {done.stderr}"
                left = sorted(path.name for path in sweep.root.iterdir())
                assert left[:2] == ["step-00000001", "step-00000002"], f"{where}: {left}"
                assert not any(".tmp-" in name for name in left), f"{where}: {left}"


def main():
    tool = support.arguments(__doc__).tool.resolve()
    with tempfile.TemporaryDirectory() as name:
        try:
            sweep = Sweep(tool, pathlib.Path(name))
        except support.NotHere as reason:
            support.skip(reason)
        root = sweep.root
        save, replace = ["save", root, "3", NEW], ["save", root, "2", NEW]
        old = ("2", OLD)
        check_kills(sweep, save, {old, ("3", NEW)})
        check_kills(sweep, replace, {old, ("2", NEW)})
        check_kills(sweep, ["keep", root, "1"], {old})
        kills = sweep.points
        check_failures(sweep, save, old, ("3", NEW))
        check_failures(sweep, replace, old, ("2", NEW))
        print(f"{kills} kills and {sweep.points - kills} failed calls")
        assert kills > 80 and sweep.points - kills > 80


if __name__ == "__main__":
    main()
