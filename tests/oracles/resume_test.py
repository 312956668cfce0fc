"""A run that is stopped or restarted is the same run: losses and weights, bit for bit. (soak_test.py kills it.)"""

import itertools
import pathlib
import shutil
import signal
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)
STEPS = 120
KEYS = [f"train.max_steps={STEPS}", "checkpoint.interval=7", "eval.interval=10", "log.interval=1"]


def start(runs, out, *keys):
    return runs.start(*runs.train_arguments(out, *KEYS, f"data.validation={runs.text}", *keys))


def same_run(runs, out):
    runs.assert_same_run(out, "straight", STEPS)


def stopped_by_signals(runs):
    """SIGTERM and SIGINT save and end with 128 + signal, in training and in an evaluation."""
    for number, (name, wait_for) in [(signal.SIGTERM, ("terminated", "step 5/")),
                                     (signal.SIGINT, ("interrupted", "training"))]:
        process = start(runs, name)
        for line in process.stderr:
            if line.startswith(wait_for):
                break
        process.send_signal(number)
        message = process.communicate()[1]
        assert process.returncode == 128 + number, (process.returncode, message)
        assert list((runs.folder / name / "checkpoints").glob("step-*")), "nothing was saved"
        start(runs, name).communicate()
        same_run(runs, name)


def a_long_evaluation_is_interrupted(runs):
    process = start(runs, "evaluating", "data.validation_tokens=100000000", "data.sequence_length=4")
    for line in process.stderr:
        if line.startswith("training"):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143, process.returncode
    assert runs.checkpoint("evaluating", 0).is_dir()


def falls_back(runs):
    """A corrupt checkpoint is skipped with its reason; the run is still the same."""
    shutil.copytree(runs.folder / "straight", runs.folder / "corrupt")
    newest = runs.checkpoint("corrupt", STEPS) / "model.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    message = start(runs, "corrupt").communicate()[1]
    assert "skipped" in message and "model.safetensors" in message, message
    same_run(runs, "corrupt")
    for directory in (runs.folder / "corrupt" / "checkpoints").glob("step-*"):
        (directory / "model.safetensors").unlink(missing_ok=True)
    process = start(runs, "corrupt")
    message = process.communicate()[1]
    assert process.returncode == 4, (process.returncode, message)


def two_runs_in_one_directory(runs):
    first = start(runs, "busy", "train.max_steps=100000")
    for line in first.stderr:
        if line.startswith("step 5/"):
            break
    second = runs.run(*runs.train_arguments("busy"))
    first.kill()
    first.communicate()
    assert second.returncode == 8 and str(first.pid) in second.stderr, (second.returncode, second.stderr)


def refuses_another_run(runs):
    """What would make it another run is refused by name, and the checkpoint stays."""
    def resume(*keys, text=runs.text):
        return runs.run("train", "smoke", f"data.train={text}", f"data.tokenizer={runs.tokenizer}",
                        "train.out_dir=straight", *KEYS, *keys)
    for key, value in [("model.hidden_size", 64), ("train.seed", 2), ("data.shuffle_seed", 3),
                       ("model.norm.placement", "pre"), ("train.precision", "bf16"), ("optimizer.name", "adam")]:
        result = resume(f"{key}={value}")
        assert result.returncode == 4 and key in result.stderr, (key, result.returncode, result.stderr)
    other = runs.folder / "other.txt"
    other.write_text(runs.text.read_text() + "\nmore")
    result = resume(text=other)
    assert result.returncode == 4 and "training data changed" in result.stderr, result.stderr
    result = runs.run(*runs.train_arguments("straight", *KEYS), "--resume", "never")
    assert result.returncode == 2 and "checkpoints" in result.stderr, result.stderr
    assert resume("optimizer.lr=1e-5", "train.max_steps=121").returncode == 0  # these may change


def verifies_itself(runs):
    for precision, optimizer in itertools.product(("fp32", "bf16_mixed", "bf16"), ("adam", "muon")):
        result = runs.check("verify-resume", "smoke", f"data.train={runs.text}", f"data.tokenizer={runs.tokenizer}",
                            f"train.precision={precision}", f"train.out_dir=verify_{precision}_{optimizer}",
                            f"optimizer.name={optimizer}", "model.norm.placement=mix", "train.activation_checkpointing=true")
        assert result.stdout.startswith("ok: 5 steps"), result.stdout


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    start(small, "straight").communicate()
    stopped_by_signals(small)
    a_long_evaluation_is_interrupted(small)
    falls_back(small)
    two_runs_in_one_directory(small)
    verifies_itself(small)
    refuses_another_run(small)
