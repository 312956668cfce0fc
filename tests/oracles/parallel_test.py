"""Several processes train the same model as one, and none outlives the loss of another."""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import support
from ranks import LONG, STEPS, Ranks, assert_lost, close, free_port
from runs import Runs

options = support.arguments(__doc__)
TIMEOUT = 4
KEYS = ["train.threads=1", f"parallel.timeout_seconds={TIMEOUT}", "train.micro_batch_size=1", "parallel.checksum_interval=3"]


def train(runs, out, *keys, size=2, **keywords):
    return Ranks(runs, [[runs.train_llm, *runs.train_arguments(out, *KEYS, *keys)]] * size, **keywords)


def complete(runs, out, *keys, size=2):
    with train(runs, out, *keys, size=size) as ranks:
        for code, message in ranks.ends(range(size)):
            assert code == 0, (out, code, message)


def optimizer_names(runs, out):
    """Names of the tensors that a checkpoint has of the optimizer."""
    numpy = support.require("safetensors.numpy")
    return sorted(numpy.load_file(runs.checkpoint(out, STEPS) / "optimizer.safetensors"))


def trains_the_same_model(runs):
    numpy = support.require("safetensors.numpy")
    validation = f"data.validation={runs.text}"
    runs.check(*runs.train_arguments("one", *KEYS, validation))
    for out, keys, size in (("two", [], 2), ("three", ["train.global_batch_size=6"], 3),
                            ("zero", ["parallel.zero_stage=1"], 2), ("recomputed", ["train.activation_checkpointing=true"], 2)):
        complete(runs, out, *keys, validation, size=size)
    for out in ("two", "zero", "recomputed"):
        close(runs, "one", out)
        a, b = [numpy.load_file(runs.checkpoint(name, STEPS) / "model.safetensors") for name in ("one", out)]
        for name in a:
            assert abs(a[name] - b[name]).max() <= 1e-4, (out, name)
    assert runs.weights("two", STEPS) == runs.weights("zero", STEPS), "ZeRO-1 trains another model"
    muon = ["optimizer.name=muon", "model.norm.placement=lns"]
    runs.check(*runs.train_arguments("one_muon", *KEYS, *muon))
    complete(runs, "two_muon", *muon)
    complete(runs, "zero_muon", "parallel.zero_stage=1", *muon)
    close(runs, "one_muon", "two_muon")
    assert runs.weights("two_muon", STEPS) == runs.weights("zero_muon", STEPS), "ZeRO-1 trains another model with Muon"
    assert optimizer_names(runs, "zero_muon") == optimizer_names(runs, "one_muon")
    complete(runs, "again", validation)
    assert runs.weights("two", STEPS) == runs.weights("again", STEPS), "the same ranks trained another model"
    runs.check(*runs.train_arguments("one_of_six", *KEYS, "train.global_batch_size=6", validation))
    close(runs, "one_of_six", "three")
    evaluations = lambda name: [r["val/loss"] for r in runs.metrics(name) if r["event"] == "eval"]
    for a, b in zip(evaluations("one"), evaluations("two"), strict=True):
        assert abs(a - b) <= 1e-5 * a, (a, b)


def resumes_with_other_ranks(runs):
    """1 -> 2 -> 1 processes, with and without ZeRO-1; the change is said."""
    runs.check(*runs.train_arguments("changing", *KEYS), "--stop-after", 5)
    with Ranks(runs, [[runs.train_llm, *runs.train_arguments("changing", *KEYS, "parallel.zero_stage=1"),
                       "--stop-after", 12]] * 2) as ranks:
        (code, message), (other, _) = ranks.ends([0, 1])
        assert code == other == 0 and "2 processes" in message and "bit for bit" in message, (code, other, message)
    runs.check(*runs.train_arguments("changing", *KEYS))
    close(runs, "one", "changing")


def refuses_what_does_not_fit(runs):
    with train(runs, "uneven", "train.global_batch_size=5") as ranks:
        for code, message in ranks.ends([0, 1]):
            assert code == 2 and "global_batch_size is 5" in message and "(2)" in message, (code, message)
    commands = [[runs.train_llm, *runs.train_arguments("unequal", *KEYS, f"train.seed={seed}")] for seed in (1, 2)]
    with Ranks(runs, commands) as ranks:
        for code, message in ranks.ends([0, 1]):
            assert code == 2 and "rank 1 has another config" in message, (code, message)


def survives_no_loss(runs):
    """Three ranks; one is killed, stopped, or lacks memory: the others end in time and name it."""
    for number, lost in ((signal.SIGKILL, 1), (signal.SIGSTOP, 2), (signal.SIGSTOP, 0), (signal.SIGKILL, 0)):
        with train(runs, f"lost_{number}_{lost}", "train.global_batch_size=6", *LONG, size=3) as ranks:
            ranks.wait_for("step 10/")
            ranks.processes[lost].send_signal(number)
            assert_lost(ranks.ends([r for r in range(3) if r != lost], within=TIMEOUT + 2), lost)
    with train(runs, "memory", *LONG) as ranks:
        ranks.wait_for("step 10/")
        resource.prlimit(ranks.processes[1].pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
        (code, message), (own, reason) = ranks.ends([0, 1], within=TIMEOUT + 2)
        assert own not in (0, 7), (own, reason)
        assert_lost([(code, message)], 1)


def names_who_never_joins(runs):
    with train(runs, "absent", "train.global_batch_size=6", size=3, missing=[2]) as ranks:
        for code, message in ranks.ends([0, 1], within=TIMEOUT + 4):
            assert code == 7 and "rank 2" in message and "never joined" in message, (code, message)
    with train(runs, "absent", size=2, missing=[0]) as ranks:
        [(code, message)] = ranks.ends([0], within=TIMEOUT + 6)
        assert code == 7 and "rank 0 never joined" in message, (code, message)


def ends_with_a_faulty_rank(runs, tool):
    def run(fault):
        return Ranks(runs, [[tool, fault, TIMEOUT]] * 2)

    with run("none") as ranks:
        assert [code for code, _ in ranks.ends([0, 1])] == [0, 0]
    for fault in ("exit", "hang"):
        with run(fault) as ranks:
            assert_lost(ranks.ends([0], within=TIMEOUT + 3), 1)
    with run("mismatch") as ranks:
        for code, message in ranks.ends([0, 1], within=TIMEOUT + 3):
            assert code == 7 and "step 3" in message, (code, message)


def listening_addresses(pid):
    """Of a process's sockets, as /proc/net/tcp has them: 0100007F is 127.0.0.1."""
    inodes = {os.readlink(link)[8:-1] for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()
              if os.readlink(link).startswith("socket:[")}
    rows = [line.split() for name in ("tcp", "tcp6")
            for line in pathlib.Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


def stops_together(runs):
    """A signal to one rank saves, and ends all, also in an evaluation."""
    for number, keys in ((signal.SIGTERM, LONG),
                         (signal.SIGINT, [*LONG, f"data.validation={runs.text}", "data.validation_tokens=100000000",
                                          "data.sequence_length=4"])):
        out = f"stopped_{number}"
        with train(runs, out, *keys) as ranks:
            ranks.wait_for("training" if len(keys) > len(LONG) else "step 10/")
            time.sleep(0.2)
            for process in ranks.processes:
                assert listening_addresses(process.pid) == {"0100007F"}, "a rank listens on more than the loopback"
            ranks.processes[1].send_signal(number)
            for code, message in ranks.ends([0, 1], within=10):
                assert code == 128 + number, (code, message)
        assert list((runs.folder / out / "checkpoints").glob("step-*")), "nothing was saved"


def runs_under_torchrun(runs):
    torchrun = shutil.which("torchrun") or shutil.which("torchrun", path=str(pathlib.Path(sys.executable).parent))
    if torchrun is None:
        print("torchrun is not here")
        return
    result = subprocess.run([torchrun, "--no-python", "--nproc-per-node", "2", "--master-port", str(free_port()),
                             str(runs.train_llm), *map(str, runs.train_arguments("torchrun", *KEYS))],
                            cwd=runs.folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    close(runs, "one", "torchrun")


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    for check, arguments in ((trains_the_same_model, []), (resumes_with_other_ranks, []), (refuses_what_does_not_fit, []),
                             (stops_together, []), (names_who_never_joins, []), (survives_no_loss, []),
                             (ends_with_a_faulty_rank, [options.tool.resolve()]), (runs_under_torchrun, [])):
        began = time.monotonic()
        check(small, *arguments)
        print(f"{check.__name__}: {time.monotonic() - began:.1f} s")
