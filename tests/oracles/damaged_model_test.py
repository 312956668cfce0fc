"""A model directory that is damaged, or holds NaN, is refused by name in every command; an edited text is a warning."""

import json
import math
import os
import pathlib
import pty
import shutil
import struct
import subprocess
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)
numpy = support.require("numpy")
safetensors = support.require("safetensors.numpy")
TENSOR = "model.layers.0.mlp.up_proj.weight"


def commands(runs, model, name):
    """Each command that takes a model directory."""
    text = ["--text", runs.text]
    return {"generate": ["generate", model, "--prompt", "the", "--max-new-tokens", 4],
            "greedy": ["generate", model, "--prompt", "the", "--max-new-tokens", 4, "--temperature", 0],
            "eval": ["eval", model, *text, "--json"], "diagnose": ["diagnose", model, *text, "--json"],
            "export": ["export", model, "--to", "hf", "--output", runs.folder / f"exported-{name}"],
            "half": ["export", model, "--to", "hf", "--output", runs.folder / f"half-{name}", "--dtype", "bf16"],
            "import": ["import", model, "--output", runs.folder / f"imported-{name}"],
            "init_from": runs.train_arguments(f"from-{name}", f"train.init_from={model}"),
            "resume": [*runs.train_arguments(f"resumed-{name}"), "--resume", model]}


def expect_refused(runs, model, name, *words, without=()):
    for command, arguments in commands(runs, model, name).items():
        if command in without:
            continue
        result = runs.run(*arguments)
        assert result.returncode == 4, (name, command, result.returncode, result.stderr)
        lines = result.stderr.splitlines()
        assert all(word in lines[-1] for word in words), (name, command, result.stderr)
        assert "null" not in result.stdout.lower(), (name, command, result.stdout)
    assert not list(runs.folder.glob(f"*ported-{name}")), "a copy of a damaged model is there"


def copy(model, name):
    target = model.parent.parent.parent / name
    shutil.copytree(model, target)
    return target


def flipped_bits(runs, model):
    whole = (model / "model.safetensors").read_bytes()
    header = json.loads(whole[8:8 + struct.unpack("<Q", whole[:8])[0]])
    for tensor in (TENSOR, "lm_head.weight", "model.norm.weight"):
        name = f"flipped-{tensor}"
        damaged = bytearray(whole)
        damaged[8 + struct.unpack("<Q", whole[:8])[0] + header[tensor]["data_offsets"][0] + 1] ^= 4
        target = copy(model, name)
        (target / "model.safetensors").write_bytes(damaged)
        # A resume names the file: it looks at whole files before it reads any tensor.
        expect_refused(runs, target, name, "model.safetensors", f"'{tensor}' is damaged", without=["resume"])
        expect_refused(runs, target, name, "model.safetensors", "is damaged", without=set(commands(runs, target, name)) - {"resume"})


def numbers_that_are_none(runs, model):
    for value, word in ((math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")):
        target = copy(model, f"with{word}")
        (target / "manifest.json").unlink()  # another program wrote these weights
        tensors = safetensors.load_file(target / "model.safetensors")
        tensors[TENSOR][1, 2] = value
        safetensors.save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
        expect_refused(runs, target, f"with{word}", "model.safetensors", TENSOR, f"holds {word} at [1, 2]", without=["resume"])


def numbers_that_no_type_holds(runs, model):
    """float64 beyond float32 computes nothing; what float32 holds and bf16 doesn't is refused where it is rounded."""
    target = copy(model, "wide")
    (target / "manifest.json").unlink()
    tensors = safetensors.load_file(target / "model.safetensors")
    tensors[TENSOR] = tensors[TENSOR].astype(numpy.float64)
    tensors[TENSOR][1, 2] = 1e300
    safetensors.save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    expect_refused(runs, target, "wide", "model.safetensors", TENSOR, "holds 1e+300, beyond float32, at [1, 2]",
                   without=["resume"])
    target = copy(model, "largest")
    (target / "manifest.json").unlink()
    tensors[TENSOR][1, 2] = 0
    tensors[TENSOR] = tensors[TENSOR].astype(numpy.float32)
    tensors[TENSOR][1, 2] = numpy.finfo(numpy.float32).max
    safetensors.save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    refused = runs.run(*commands(runs, target, "largest")["half"])
    assert refused.returncode == 4 and f"'{TENSOR}' holds 3.402823" in refused.stderr, refused.stderr
    assert "more than BFloat16 expresses" in refused.stderr, refused.stderr
    assert not list(runs.folder.glob("half-largest")), "a copy with an infinite weight is there"
    runs.check(*commands(runs, target, "largest")["export"])


def run_directories(runs, model):
    """A run's folder stands for its newest checkpoint; one that is damaged is named with its tensor and no advice to train."""
    run = model.parent.parent
    runs.check("import", run, "--output", "of_run")
    assert (runs.folder / "of_run/model.safetensors").exists()
    target = run.parent / "damaged_run"
    shutil.copytree(run, target)
    for weights in target.glob("checkpoints/*/model.safetensors"):
        content = bytearray(weights.read_bytes())
        content[-1] ^= 4  # of the last tensor
        weights.write_bytes(content)
    for command in ("generate", "eval", "export", "import"):
        result = runs.run(*commands(runs, target, "damaged_run")[command])
        assert result.returncode == 4, (command, result.stderr)
        assert "model.safetensors: tensor 'model." in result.stderr and "from scratch" not in result.stderr, result.stderr


def missing_texts(runs, model):
    target = copy(model, "incomplete")
    (target / "generation_config.json").unlink()
    for command in ("generate", "eval", "export", "import", "init_from"):
        result = runs.run(*commands(runs, target, "incomplete")[command])
        assert result.returncode == 0, (command, result.stderr)
        assert "incomplete/generation_config.json is missing: manifest.json lists it" in result.stderr, (command, result.stderr)


def results_that_are_none(runs, model):
    """Finite weights whose products aren't."""
    target = copy(model, "huge")
    (target / "manifest.json").unlink()
    tensors = safetensors.load_file(target / "model.safetensors")
    for name in tensors:
        if "embed_tokens" not in name:  # RMSNorm would make 0 of what is too large to be squared
            tensors[name] = (numpy.sign(tensors[name]) * 1e30).astype(numpy.float32)
    safetensors.save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    for command in ("generate", "greedy", "eval", "diagnose"):
        result = runs.run(*commands(runs, target, "huge")[command])
        assert result.returncode == 4 and "finite" in result.stderr, (command, result.returncode, result.stderr)
        assert "null" not in result.stdout.lower(), (command, result.stdout)


def edited_texts(runs, model):
    target = copy(model, "edited")
    for name in ("config.json", "generation_config.json"):
        (target / name).write_text((target / name).read_text() + "\n")
    for command in ("generate", "eval", "export", "import", "init_from"):
        result = runs.run(*commands(runs, target, "edited")[command])
        assert result.returncode == 0, (command, result.stderr)
        warnings = [line for line in result.stderr.splitlines() if line.startswith("warning") and "was changed" in line]
        assert len(warnings) == 2 and "edited/config.json" in warnings[0], (command, result.stderr)


def small_temperatures(runs, model):
    text = lambda *words: runs.check("generate", model, "--prompt", "the quick", "--max-new-tokens", 12, *words).stdout
    greedy = text("--temperature", 0)
    for temperature in ("1e-308", "5e-324", "1e-40", "1e-20"):
        assert text("--temperature", temperature) == greedy, temperature
    assert text("--top-p", "1e-6") == greedy
    for flag, value in (("--temperature", "nan"), ("--temperature", "inf"), ("--temperature", "-1"), ("--top-p", "nan"),
                        ("--top-p", "0"), ("--top-p", "inf")):
        result = runs.run("generate", model, "--prompt", "a", flag, value)
        assert result.returncode == 2 and flag in result.stderr, (flag, value, result.stderr)


def on_a_terminal(runs, arguments):
    """What a command writes where stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([runs.train_llm, *map(str, arguments)], stdout=theirs, stderr=theirs, cwd=runs.folder)
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    os.close(ours)
    process.wait()
    return output


def escapes(runs, model):
    """Nothing that a file says reaches a terminal as a command for it."""
    prompt = ["generate", model, "--prompt", "a\u202e\u009b31m", "--max-new-tokens", 1, "--temperature", 0, "--json"]
    shown = on_a_terminal(runs, prompt)
    assert "\u202e".encode() not in shown and b"\\u{202e}\\u{9b}31m" in shown, shown
    assert "\u202e\u009b31m" in runs.check(*prompt).stdout  # in a pipe it is what it is
    name = os.fsencode(runs.folder) + b"/no\x1b[2J\xfamodel"
    for words in ((b"generate", name, b"--prompt", b"x"), (b"train", name), (b"eval", name, b"--text", name)):
        result = subprocess.run([runs.train_llm, *words], capture_output=True)
        assert result.returncode != 0 and b"\x1b" not in result.stderr and b"\xfa" not in result.stderr, result.stderr
        assert b"no\\x1b[2J\\xfamodel" in result.stderr, result.stderr


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    small.check(*small.train_arguments("run", "train.max_steps=3"))
    made = small.checkpoint("run", 3)
    for check in (flipped_bits, numbers_that_are_none, numbers_that_no_type_holds, run_directories, results_that_are_none,
                  edited_texts, missing_texts, small_temperatures, escapes):
        check(small, made)
