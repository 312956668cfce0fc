"""Bad input of every kind: one line that names the thing, the right exit code, and nothing lost."""

import gzip
import os
import pathlib
import random
import resource
import subprocess
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)


def expect(result, code, *words):
    lines = [line for line in result.stderr.splitlines() if line.startswith("train-llm: ")]
    assert result.returncode == code, (code, result.returncode, result.stderr)
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])
    print(f"exit {code}: {lines[0]}")


def configs(runs):
    def with_config(text, *words):
        path = runs.folder / "bad.yaml"
        path.write_text(text)
        expect(runs.run("plan", path), 2, "bad.yaml", *words)
    steps = "train: {max_steps: 5}\n"
    with_config(steps + "modle: {}\n", "modle", "model")
    with_config(steps + "optimizer: {learning_rate: 1}\n", "optimizer.learning_rate")
    with_config(steps + "optimizer:\n  lr: 1\n  lr: 2\n", ":4", "lr")
    with_config(steps + "model: {hidden_size: wide}\n", "model.hidden_size", "wide")
    with_config(steps + "model: {hidden_size: 12.5}\n", "model.hidden_size", "12.5")
    with_config(steps + "optimizer: {betas: [0.9, 1.0]}\n", "optimizer.betas")
    with_config(steps + "model: {norm: {placement: pre, exponent: 1}}\n", "model.norm.exponent", "placement")
    with_config("train: &a {max_steps: 5}\n", "anchor")
    with_config("train: {max_steps: 5}\nlog: *a\n", "anchor")
    with_config("train: {max_steps: 5}\n---\nlog: {}\n", "document")
    with_config("eval: {interval: 5}\n", "train.max_steps", "train.max_tokens")
    path = runs.folder / "bad.yaml"
    path.write_text(steps + "modle: {}\nmodel: {norm: {placement: LNS}}\noptimizer: {learning_rate: 1}\n")
    several = runs.run("plan", path, "train.epochs=2")
    lines = several.stderr.splitlines()
    assert several.returncode == 2 and len(lines) == 4, several.stderr
    for line, at, meant in zip(lines, (":2: ", ":3: ", ":4: ", "command line: "),
                               ("model", "lns", "optimizer.lr", "train.max_epochs")):
        assert line.startswith("train-llm: ") and at in line and f"did you mean '{meant}'?" in line, line
    expect(runs.run("plan", "130m", "optimizer.lrr=1"), 2, "optimizer.lrr", "optimizer.lr")
    expect(runs.run("plan", "131m"), 2, "131m")
    expect(runs.run("trian", "130m"), 2, "trian", "train")


def data(runs):
    def with_data(name, content, *words, code=3):
        path = runs.folder / name
        path.write_bytes(content)
        expect(runs.run("train", "smoke", f"data.train={path}", f"data.tokenizer={runs.tokenizer}",
                        "train.out_dir=bad_data"), code, *words)
    packed = gzip.compress(b'{"text": "hello there"}\n' * 50, mtime=0)
    with_data("empty.txt", b"", "empty.txt")
    folder = runs.folder / "no_text"
    folder.mkdir()
    (folder / "table.csv").write_text("a,b\n")
    for name in ("no_text", "no_text/*.txt", "no_text/table.csv"):
        expect(runs.run("prepare", name, "--tokenizer", runs.tokenizer, "--output", "never"), 3, "no_text")
    expect(runs.run("prepare", runs.text), 2, "text.txt", "--tokenizer", "--output")
    expect(runs.run("prepare", folder), 2, "no_text", "--tokenizer", "--output")
    expect(runs.run("prepare", "smoke", "--tokenizer", runs.tokenizer, "--output", "never"), 2, "smoke", "data.tokenizer")
    expect(runs.run("prepare", runs.text, "--tokenizer", runs.tokenizer), 2, "--output")
    with_data("truncated.json.gz", packed[: len(packed) // 2], "truncated.json.gz", "truncated")
    with_data("garbage.gz", random.Random(support.seed()).randbytes(4000), "garbage.gz")
    with_data("lines.jsonl", b'{"text": "a"}\n{"text": \n', "lines.jsonl:2")
    with_data("field.jsonl", b'{"txt": "a"}\n', "field.jsonl:1", "text")
    with_data("latin.txt", b"fine\nna\xefve\n", "latin.txt:2", "data.on_invalid_utf8")
    with_data("binary.xyz", b"\x00\x01", "binary.xyz")
    missing = runs.run("train", "smoke", "data.train=nowhere.txt", f"data.tokenizer={runs.tokenizer}",
                       "train.out_dir=bad_data")
    expect(missing, 3, "nowhere.txt")


def tokenizers(runs):
    def with_tokenizer(path, code, *words, keys=()):
        expect(runs.run("train", "smoke", f"data.train={runs.text}", f"data.tokenizer={path}", "train.out_dir=bad_tok",
                        *keys), code, *words)
    fake = runs.folder / "fake.model"
    fake.write_bytes(b"not a model")
    with_tokenizer(fake, 3, "fake.model")
    with_tokenizer(runs.folder / "none.model", 3, "none.model")
    with_tokenizer(runs.tokenizer, 2, "model.vocab_size", "300", keys=["model.vocab_size=200"])
    tokens = runs.folder / "tokens"
    runs.check("prepare", runs.text, "--tokenizer", runs.tokenizer, "--output", tokens)
    prepared = next(tokens.glob("*"))
    other = runs.folder / "other.model"
    runs.check("tokenizer", "train", runs.text, "--vocab-size", 290, "--output", other)
    expect(runs.run("train", "smoke", f"data.train={prepared}", f"data.tokenizer={other}", "train.out_dir=bad_tok"), 3,
           prepared.name, "tokenizer")
    content = bytearray(prepared.read_bytes())
    content[100] ^= 1
    prepared.write_bytes(content)
    expect(runs.run("train", "smoke", f"data.train={prepared}", f"data.tokenizer={runs.tokenizer}",
                    "train.out_dir=bad_tok"), 3, prepared.name)


def directories(runs):
    expect(runs.run(*runs.train_arguments("/proc/fathom")), 6, "/proc/fathom")
    (runs.folder / "file").write_text("")
    expect(runs.run(*runs.train_arguments("file")), 6, "file")
    expect(runs.run("eval", runs.folder / "nothing", "--text", runs.text), 4, "nothing")
    pickled = runs.folder / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    expect(runs.run("eval", pickled, "--text", runs.text), 4, "pickled")


def a_full_disk(runs):
    """Files may not grow beyond a limit any more: as a full disk, without one. Earlier checkpoints stay."""
    runs.check(*runs.train_arguments("full", "checkpoint.interval=0"))
    before = runs.weights("full", 20)
    process = subprocess.Popen([runs.train_llm, *runs.train_arguments("full", "train.max_steps=1000000",
                                                                      "checkpoint.interval=1000", "eval.interval=0")],
                               cwd=runs.folder, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("step 30/"):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
        if line.startswith("warning: no checkpoint of step 1000: "):
            break
    process.terminate()
    message = process.communicate()[1]
    assert process.returncode == 6 and "File too large" in message, (process.returncode, message[-500:])
    assert "model.safetensors" in message.splitlines()[-1] and "step-00000020" in message.splitlines()[-1], message[-500:]
    assert runs.weights("full", 20) == before
    assert not list((runs.folder / "full" / "checkpoints").glob("*.tmp-*"))
    runs.check(*runs.train_arguments("full", "train.max_steps=40"))


def devices(runs):
    if not pathlib.Path("/dev/nvidiactl").exists():
        expect(runs.run(*runs.train_arguments("cuda", "train.device=cuda")), 2, "train.device", "cuda")


def changed_under_the_run(runs):
    tokens = runs.folder / "changing"
    runs.check("prepare", runs.text, "--tokenizer", runs.tokenizer, "--output", tokens)
    prepared = next(tokens.glob("*"))
    process = subprocess.Popen([runs.train_llm, "train", "smoke", f"data.train={prepared}",
                                f"data.tokenizer={runs.tokenizer}", "train.out_dir=changing_run",
                                "train.max_steps=1000000", "checkpoint.interval=0", "log.interval=1"],
                               cwd=runs.folder, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("step 5/"):
            break
    os.truncate(prepared, prepared.stat().st_size // 2)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 3, (process.returncode, message[-500:])
    assert prepared.name in message.splitlines()[-1], message[-500:]


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    for part in (configs, data, tokenizers, directories, a_full_disk, devices, changed_under_the_run):
        part(small)
