"""train-llm as a function: words in, facts out."""

import ctypes
import json
import signal
import subprocess

from fathom_tables import TableError


def end_with_parent():
    """Called in a child: it gets SIGTERM, and saves, when this program is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Program:
    """Runs train-llm commands."""

    def __init__(self, path):
        self.path = path.resolve()
        if not self.path.is_file():
            raise TableError(f"{path} is not there; scripts/build.sh train-llm makes it")

    def run(self, *words):
        """stdout. @raises TableError with train-llm's last line and exit code"""
        done = subprocess.run([self.path, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False, preexec_fn=end_with_parent)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise TableError(lines[-1].removeprefix("train-llm: "), 128 - done.returncode if done.returncode < 0
                             else done.returncode)
        return done.stdout

    def facts(self, *words):
        return json.loads(self.run(*words, "--json"))

    def start(self, words, out, errors):
        """A process that writes to two open files."""
        return subprocess.Popen([self.path, *map(str, words)], stdout=out, stderr=errors, preexec_fn=end_with_parent)
