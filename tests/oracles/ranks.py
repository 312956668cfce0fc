"""Processes of one run, for the tests that need several."""

import contextlib
import os
import random
import re
import socket
import subprocess
import time

STEPS = 20  # of the preset smoke
LONG = ["train.max_steps=1000000", "log.interval=5", "eval.interval=0", "checkpoint.interval=0"]


SLACK = 20  # seconds that a busy machine may add: a test finds what hangs, and measures nothing


def free_port():
    """Below those that the system gives out by itself, so that no other process gets it in between."""
    for port in random.sample(range(20000, 32000), 100):
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


class Ranks:
    """Processes of one run; all ended when the block is left."""

    def __init__(self, runs, commands, missing=(), address="127.0.0.1", **variables):
        port, size = free_port(), len(commands)
        self.processes = []
        for rank, command in enumerate(commands):
            if rank in missing:
                continue
            environment = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank),
                               MASTER_ADDR=address, MASTER_PORT=str(port), **variables)
            self.processes.append(subprocess.Popen(list(map(str, command)), cwd=runs.folder, env=environment, text=True,
                                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def wait_for(self, start):
        """Until rank 0 prints a line that starts so."""
        for line in self.processes[0].stderr:
            if line.startswith(start):
                return
        raise AssertionError(f"rank 0 ended with {self.processes[0].wait()} before it printed {start!r}")

    def ends(self, ranks, within=60):
        """[(exit code, stderr)] of these ranks, which must end in time."""
        end = time.monotonic() + within + SLACK
        results = []
        for rank in ranks:
            message = self.processes[rank].communicate(timeout=max(0.1, end - time.monotonic()))[1]
            results.append((self.processes[rank].returncode, message))
        return results


def close(runs, one, other, tolerance=1e-5):
    first, second = runs.losses(one), runs.losses(other)
    assert len(first) == len(second) == STEPS, (len(first), len(second))
    for (step, a), (_, b) in zip(first, second):
        assert abs(a - b) <= tolerance * abs(a), (one, other, step, a, b)


def assert_lost(results, rank):
    for code, message in results:
        assert code == 7, (code, message)
        lines = [line for line in message.splitlines() if re.search(rf"rank {rank} \(last seen at step \d+, phase \w+", line)]
        assert len(lines) == 1, message
