"""System calls that fail, or before which the program is killed: strace does it, for the N-th call of a kind."""

import re
import shutil
import subprocess

import support

CHANGES = ("openat", "mkdir", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat2", "unlink",
           "unlinkat", "rmdir", "close")
READS = ("read", "pread64")


class Tracer:
    """Runs a program under strace. It looks at the main thread alone, which does all that a run does to its folder, and
    counts the calls of a kind from the start of the process."""

    def __init__(self, program, folder):
        self.program, self.folder, self.log = program, folder, folder / "strace.log"
        if shutil.which("strace") is None:
            raise support.NotHere("strace is missing (Debian: strace)")
        probe = subprocess.run(["strace", "-o", "/dev/null", "-e", "inject=write:error=EIO:when=9999", "true"], check=False,
                               capture_output=True, text=True)
        if probe.returncode != 0:
            raise support.NotHere(f"strace can't trace here: {probe.stderr.strip()}")

    def run(self, arguments, calls, *injection):
        """@returns (finished process, [(call, its number, its line)])"""
        done = subprocess.run(["strace", "-y", "-s", "0", "-o", self.log, "-e", f"trace={','.join(calls)}", *injection,
                               self.program, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
                              timeout=600, check=False)
        counts, lines = {}, []
        for line in self.log.read_text(errors="replace").splitlines():
            if match := re.match(r"(\w+)\(", line):
                call = match.group(1)
                counts[call] = counts.get(call, 0) + 1
                lines.append((call, counts[call], line))
        return done, lines

    def points(self, arguments, calls, within):
        """(call, number, line) of what an undisturbed run does to the folder `within`, a part of a path."""
        done, lines = self.run(arguments, calls)
        assert done.returncode == 0, done.stderr
        return [point for point in lines if f"{within}/" in point[2] or f'{within}"' in point[2] or f"{within}>" in point[2]]

    def inject(self, arguments, point, fault):
        """Runs with a fault ("signal=SIGKILL", "error=EIO") at a point. @returns (process, whether it got there)"""
        call, number = point[:2]
        done, lines = self.run(arguments, [call], "-e", f"inject={call}:{fault}:when={number}")
        return done, any(one[:2] == (call, number) for one in lines)
