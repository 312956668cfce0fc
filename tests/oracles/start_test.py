"""No wait of a run's start is without end: two ranks, one of which hangs, dies, or never was there.

The other ends with 7 some seconds after parallel.timeout_seconds, and names what it waited for.
"""

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

import support
from ranks import LONG, Ranks, free_port
from runs import Runs

options = support.arguments(__doc__, seed=0, times=6)
TIMEOUT = 4
WITHIN = 60  # of a busy machine; without an end it would be all the same
KEYS = ["train.threads=1", f"parallel.timeout_seconds={TIMEOUT}", *LONG]


def command(runs, out):
    return [runs.train_llm, *runs.train_arguments(out, *KEYS)]


def rank_one(runs, port, address="127.0.0.1"):
    environment = dict(os.environ, RANK="1", WORLD_SIZE="2", LOCAL_RANK="1", MASTER_ADDR=address, MASTER_PORT=str(port))
    return subprocess.Popen(list(map(str, command(runs, "alone"))), cwd=runs.folder, env=environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def listener(accepts):
    """Somebody else's program, which takes connections and never says anything."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept())

        if accepts:
            threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def ends_with_seven(process, *words):
    message = process.communicate(timeout=WITHIN)[1]
    assert process.returncode == 7, (process.returncode, message)
    assert all(word in message for word in words), (words, message)


def ends_where_nobody_answers(runs):
    for accepts in (False, True):
        with listener(accepts) as port:
            ends_with_seven(rank_one(runs, port), "rank 0 never joined", f"127.0.0.1:{port} hasn't answered",
                            "parallel.timeout_seconds")
    port = free_port()
    ends_with_seven(rank_one(runs, port), "rank 0 never joined", f"nothing answers at 127.0.0.1:{port}")
    process = rank_one(runs, port, address="no.such.host.invalid")
    message = process.communicate(timeout=WITHIN)[1]
    assert process.returncode == 2 and "MASTER_ADDR is 'no.such.host.invalid'" in message, (process.returncode, message)


def a_signal_ends_the_wait(runs):
    for nobody in (True, False):
        with contextlib.nullcontext(free_port()) if nobody else listener(True) as port:
            process = rank_one(runs, port)
            while not waits(process.pid):
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            message = process.communicate(timeout=WITHIN)[1]
            assert process.returncode == 143, (process.returncode, message)


def waits(pid):
    """Whether a process has come to wait: a second thread watches over that."""
    with contextlib.suppress(OSError):
        return len(list(pathlib.Path(f"/proc/{pid}/task").iterdir())) > 1
    return False


def ends_whenever_the_other_hangs_or_dies(runs):
    """At random moments of the start: before the store, in its handshake, in the first agreement, while data is made."""
    seed = options.seed or random.randrange(1 << 30)
    print(f"ends_whenever_the_other_hangs_or_dies: --seed {seed}")
    generator = random.Random(seed)
    with Ranks(runs, [command(runs, "timed")] * 2) as ranks:
        began = time.monotonic()
        ranks.wait_for("training")
        length = time.monotonic() - began
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for lost in (0, 1):
            for _ in range(options.times):
                delay = generator.uniform(0.0, length)
                with Ranks(runs, [command(runs, "hangs")] * 2) as ranks:
                    time.sleep(delay)
                    ranks.processes[lost].send_signal(number)
                    [(code, message)] = ranks.ends([1 - lost], within=WITHIN)
                    assert code == 7 and f"rank {lost}" in message, (number, lost, delay, code, message)


def waits_for_data_as_long_as_it_takes(runs):
    """Rank 0 prepares for longer than the timeout, and says that it lives."""
    text = runs.folder / "long.txt"
    text.write_text(runs.text.read_text() * 400)
    arguments = ["train", "smoke", f"data.train={text}", f"data.tokenizer={runs.tokenizer}", "train.threads=1",
                 "parallel.timeout_seconds=1", "train.out_dir=prepared"]
    with Ranks(runs, [[runs.train_llm, *arguments]] * 2) as ranks:
        results = ranks.ends([0, 1], within=300)
        assert [code for code, _ in results] == [0, 0], results


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    for check in (ends_where_nobody_answers, a_signal_ends_the_wait, ends_whenever_the_other_hangs_or_dies,
                  waits_for_data_as_long_as_it_takes):
        began_at = time.monotonic()
        check(small)
        print(f"{check.__name__}: {time.monotonic() - began_at:.1f} s")
