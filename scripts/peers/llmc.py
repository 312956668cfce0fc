"""llm.c's GPT-2 on a CPU, for scripts/bench_peers.py. It computes no Llama, so FLOP/s are compared, each program's by the
same formula for its own model. It is built by its own Makefile in a copy, and starts from random weights and tokens in its
file formats: its speed depends on neither."""

import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile

import numpy

GPT2 = {"max_seq_len": 1024, "vocab_size": 50257, "num_layers": 12, "num_heads": 12, "channels": 768,
        "padded_vocab_size": 50304}
STEP = re.compile(r"step \d+: train loss \S+ \(took (\S+) ms\)")


def weight_sizes(model):
    """Its weights in the order of its checkpoint."""
    maxt, layers, c, vocab = (model[key] for key in ("max_seq_len", "num_layers", "channels", "padded_vocab_size"))
    return {"wte": vocab * c, "wpe": maxt * c, "ln1w": layers * c, "ln1b": layers * c, "qkvw": layers * 3 * c * c,
            "qkvb": layers * 3 * c, "attprojw": layers * c * c, "attprojb": layers * c, "ln2w": layers * c, "ln2b": layers * c,
            "fcw": layers * 4 * c * c, "fcb": layers * 4 * c, "fcprojw": layers * 4 * c * c, "fcprojb": layers * c, "lnfw": c,
            "lnfb": c}


def flops_per_token(model, length):
    """Of training, as its gpt2_estimate_mfu has it; `train-llm bench` counts a Llama's likewise."""
    return 6 * sum(weight_sizes(model).values()) + 6 * model["num_layers"] * model["channels"] * length


def header(*values):
    return numpy.array([*values, *[0] * (256 - len(values))], dtype="<i4").tobytes()


def write_inputs(folder, model, shape):
    """Its checkpoint, and tokens for a hundred batches."""
    random = numpy.random.default_rng(1)
    order = ("max_seq_len", "vocab_size", "num_layers", "num_heads", "channels", "padded_vocab_size")
    with open(folder / "gpt2_124M.bin", "wb") as file:
        file.write(header(20240326, 3, *(model[key] for key in order)))
        for name, size in weight_sizes(model).items():
            constant = {"w": 1.0, "b": 0.0}.get(name[-1]) if name.startswith("ln") or name.endswith("b") else None
            weights = random.normal(0, 0.02, size) if constant is None else numpy.full(size, constant)
            file.write(weights.astype("<f4").tobytes())
    data = folder / "dev" / "data" / "tinyshakespeare"
    data.mkdir(parents=True)
    tokens = random.integers(0, model["vocab_size"], 100 * shape.rows * shape.length + 1).astype("<u2")
    for part in ("train", "val"):
        (data / f"tiny_shakespeare_{part}.bin").write_bytes(header(20240520, 1, len(tokens)) + tokens.tobytes())


def build(source, folder, shape):
    """Builds a copy for batches of this shape, which its main() fixes."""
    for name in ("Makefile", "train_gpt2.c"):
        shutil.copy(source / name, folder)
    shutil.copytree(source / "llmc", folder / "llmc")
    path = folder / "train_gpt2.c"
    text = path.read_text()
    for name, value in (("B", shape.rows), ("T", shape.length)):
        text, replaced = re.subn(rf"\bint {name} = \d+;", f"int {name} = {value};", text)
        if replaced != 1:
            raise SystemExit(f"bench_peers: {source / 'train_gpt2.c'} has {replaced} places that set {name}; one is expected")
    path.write_text(text)
    built = subprocess.run(["make", "train_gpt2"], cwd=folder, capture_output=True, text=True)
    if built.returncode != 0:
        raise SystemExit(f"bench_peers: llm.c can't be built: {built.stdout[-1000:]}{built.stderr[-1000:]}")


def run(folder, steps):
    """Seconds of each of `steps` steps after the first, which allocates; and its peak memory in bytes."""
    seconds = []
    process = subprocess.Popen(["stdbuf", "-oL", "./train_gpt2"], cwd=folder, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := STEP.match(line):
            seconds.append(float(found[1]) / 1000)
        if len(seconds) > steps:
            break
    if len(seconds) <= steps:
        raise SystemExit(f"bench_peers: llm.c stopped after {len(seconds)} steps, with code {process.wait()}")
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    process.kill()
    process.wait()
    return seconds[1:], int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def summary(flops, memory):
    return {"flops_per_second": statistics.median(flops), "slowest": min(flops), "fastest": max(flops), "peak_memory_bytes": memory}


def measure(fathom, source, shape, rounds, steps, model=GPT2):
    """Blocks of Fathom and of llm.c in turn."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_inputs(folder, model, shape)
        build(source, folder, shape)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(fathom.block())
            seconds, memory = run(folder, steps)
            theirs.append(flops_per_token(model, shape.length) * shape.rows * shape.length / statistics.median(seconds))
    own = [block["flops_per_second"] for block in ours]
    return {"fathom": summary(own, ours[-1]["peak_memory_bytes"]), "llm.c": summary(theirs, memory),
            "ratios": [a / b for a, b in zip(own, theirs, strict=True)]}


def table(results):
    """results: (shape, what `measure` returned)"""
    lines = ["llm.c trains GPT-2 124M, another model, so that FLOP/s are compared: 6 for each weight of a matrix product, and 6 x "
             "layers x width x length for attention, for a token of each program's own model, at the same rows and length.", "",
             "| shape | program | model | GFLOP/s (range) | Fathom's over it | peak memory |", "|---|---|---|---|---|---|"]
    for shape, result in results:
        for name, kind, ratio in (("fathom", shape.partition(":")[0], 1.0), ("llm.c", "GPT-2 124M", statistics.median(result["ratios"]))):
            r = result[name]
            lines.append(f"| {shape} | {name} | {kind} | {r['flops_per_second'] / 1e9:.1f} ({r['slowest'] / 1e9:.1f}-"
                         f"{r['fastest'] / 1e9:.1f}) | {ratio:.2f} | {r['peak_memory_bytes'] / 2**30:.2f} GiB |")
    return "\n".join(lines) + "\n"
