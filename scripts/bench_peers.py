"""Tokens/s and memory of Fathom beside the trainers that people use, in one run.

Every program gets the same start weights, the same batches, Adam (fused) and precision. They run in turn, a block of
steps each, round after round, and a ratio is the median over rounds of Fathom's block over the peer's beside it. A
program whose losses or gradient norms leave Fathom's reference kernels' by more than the gate fails, however fast it is.

    .venv/bin/python scripts/bench_peers.py --shape 9m:16x256 --shape 60m:8x256 --output results/speed

The peers: eager and compile are transformers; reference is Fathom with kernels of plain LibTorch; release is the code of
the paper's authors, and release-adam the same with Adam as they have it, not fused; both need a copy of that code. llmc is
llm.c on a CPU, from a copy too: it trains another model, and has a table of FLOP/s of its own.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import typing

import numpy

from peers import llmc

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEER = ROOT / "scripts" / "peers" / "llama_peer.py"
LR = 1e-3
PEERS = ("eager", "compile", "reference", "release", "release-adam", "llmc")
GATE = {"fp32": 1e-4, "bf16": 2e-2}  # relative, of losses and gradient norms


class Program:
    """A trainer that runs a block of steps for each line it is sent."""

    def __init__(self, name, command, log):
        self.name, self.blocks = name, []
        self.log = open(log, "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)

    def block(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench_peers: {self.name} stopped with code {self.process.wait()}; see {self.log.name}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def start_weights(train_llm, preset, overrides, work):
    """Makes a transformers Llama of the preset's shape in work/model, and imports it to work/imported."""
    import torch
    import transformers
    plan = subprocess.run([train_llm, "plan", preset, *overrides, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    keys_of_run = json.loads(plan.stdout)["config"]
    value = lambda key: json.loads(keys_of_run["model." + key]["value"])
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "rms_norm_eps",
            "max_position_embeddings", "initializer_range", "tie_word_embeddings")
    config = transformers.LlamaConfig(**{key: value(key) for key in keys},
                                      rope_parameters={"rope_type": "default", "rope_theta": value("rope_theta")})
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(config).save_pretrained(work / "model")
    subprocess.run([train_llm, "import", work / "model", "--output", work / "imported"], check=True, stdout=subprocess.DEVNULL)
    return config


class Shape(typing.NamedTuple):
    """A preset, and the rows and tokens of a row of its batches."""

    preset: str
    rows: int
    length: int

    def __str__(self):
        return f"{self.preset}:{self.rows}x{self.length}"


def parse_shape(text):
    preset, _, size = text.partition(":")
    rows, _, length = size.partition("x")
    if not (preset and rows.isdigit() and length.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is no PRESET:ROWSxLENGTH, such as 9m:16x256")
    return Shape(preset, int(rows), int(length))


def parse_peers(text):
    names = text.split(",")
    for name in names:
        if name not in PEERS:
            raise argparse.ArgumentTypeError(f"'{name}' is no peer; allowed: {', '.join(PEERS)}")
    return names


def programs(options, shape, work):
    """The trainers by name, with the weights and batches that they share in `work`."""
    preset, rows, length = shape
    size = [f"train.global_batch_size={rows}", f"train.micro_batch_size={rows}", f"data.sequence_length={length}"]
    fixed = ["model.norm.placement=pre", f"train.precision={options.precision}", f"train.device={options.device}",
             "train.max_steps=1000000", "lr_scheduler.type=constant", "lr_scheduler.warmup_steps=0",
             f"optimizer.lr={LR}", "optimizer.name=adam", "optimizer.weight_decay=0", "train.grad_clip=0"]
    if options.threads:
        fixed.append(f"train.threads={options.threads}")
    config = start_weights(options.train_llm, preset, [*size, *fixed], work)
    random = numpy.random.default_rng(1)
    # Zipf's law, as in text: uniform tokens would make every loss log V.
    ranks = random.zipf(1.2, size=(4, rows, length + 1)) % config.vocab_size
    ranks.astype("<i4").tofile(work / "batches")
    common = ["--steps", str(options.steps), "--batches", work / "batches"]
    ours = [options.train_llm, "bench", preset, *size, *fixed, f"train.init_from={work / 'imported'}", "--paced", *common]
    peer = [sys.executable, PEER, "--model", work / "model", "--rows", str(rows), "--length", str(length), "--lr", str(LR),
            "--device", options.device, "--precision", options.precision, *common]
    release = [*peer, "--release", str(options.release_dir)]
    every = {"fathom": ours, "reference": [*ours, "train.kernels=reference"], "eager": peer, "compile": [*peer, "--compile"],
             "release": release, "release-adam": [*release, "--default-adam"]}
    return {name: every[name] for name in ["fathom", *options.against] if name != "llmc"}


def gate(reference, block, tolerance):
    """The largest relative distance of losses and gradient norms, and whether it is within the tolerance."""
    distances = [abs(a - b) / abs(a) for key in ("losses", "gradient_norms")
                 for a, b in zip(reference[key], block[key], strict=True)]
    worst = max(math.inf if math.isnan(distance) else distance for distance in distances)
    return worst, worst <= tolerance


def measure(options, shape):
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        running = [Program(name, command, options.output / f"{shape.preset}-{name}.log")
                   for name, command in programs(options, shape, work).items()]
        warm = {program.name: program.block() for program in running}  # compiles, allocates: not counted
        for turn in range(options.rounds):
            for program in running if turn % 2 == 0 else reversed(running):
                program.blocks.append(program.block())
        ours = running[0]
        for program in running[1:]:
            program.close()
        result = {"shape": str(shape), "programs": compare(running, warm, options.precision)}
        if "llmc" in options.against:
            result["llmc"] = llmc.measure(ours, options.llmc_dir, shape, options.rounds, options.steps)
        ours.close()
    return result


def compare(running, warm, precision):
    """Speed, memory and gate of the programs, the first of which is Fathom."""
    ours, result = running[0], {}
    for program in running:
        speeds = [b["tokens_per_second"] for b in program.blocks]
        worst, passed = gate(warm["reference" if "reference" in warm else "fathom"], warm[program.name], GATE[precision])
        ratios = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours.blocks, program.blocks)]
        result[program.name] = {
            "tokens_per_second": statistics.median(speeds), "slowest": min(speeds), "fastest": max(speeds),
            "fathom_over_this": statistics.median(ratios), "ratios": [round(r, 4) for r in ratios],
            "peak_memory_bytes": program.blocks[-1]["peak_memory_bytes"],
            "memory_of_fathom_over_this": ours.blocks[-1]["peak_memory_bytes"] / program.blocks[-1]["peak_memory_bytes"],
            "gate": {"worst": worst, "passed": passed}}
    return result


def table(results, options, machine):
    lines = [f"On {machine}: medians of {options.rounds} rounds of {options.steps} steps, {options.precision}, the programs in turn.", "",
             "| shape | program | tokens/s (range) | Fathom over it | peak memory | Fathom's over it | gate |",
             "|---|---|---|---|---|---|---|"]
    for result in results:
        for name, r in result["programs"].items():
            lines.append(f"| {result['shape']} | {name} | {r['tokens_per_second']:,.0f} ({r['slowest']:,.0f}-{r['fastest']:,.0f}) "
                         f"| {r['fathom_over_this']:.2f} | {r['peak_memory_bytes'] / 2**30:.2f} GiB "
                         f"| {r['memory_of_fathom_over_this']:.2f} | {'passed' if r['gate']['passed'] else 'FAILED'}, "
                         f"{r['gate']['worst']:.1e} |")
    others = [(result["shape"], result["llmc"]) for result in results if "llmc" in result]
    if others:
        lines += ["", llmc.table(others).rstrip()]
    return "\n".join(lines) + "\n"


def machine_name():
    import torch
    import transformers
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return (f"{model}, {len(os.sched_getaffinity(0))} cores, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, "
            f"transformers {transformers.__version__}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", type=parse_shape, required=True, metavar="PRESET:ROWSxLENGTH")
    parser.add_argument("--against", type=parse_peers, default=["eager"], metavar="PEERS",
                        help=f"of {', '.join(PEERS)} (default: eager)")
    parser.add_argument("--release-dir", type=pathlib.Path, help="checkout of github.com/lmsdss/LayerNorm-Scaling")
    parser.add_argument("--llmc-dir", type=pathlib.Path, help="checkout of github.com/karpathy/llm.c")
    parser.add_argument("--steps", type=int, default=3, help="of a block (default: 3)")
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each program (default: 5)")
    parser.add_argument("--threads", type=int, help="of Fathom; set OMP_NUM_THREADS for the peers")
    parser.add_argument("--precision", choices=sorted(GATE), default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "out" / "speed")
    parser.add_argument("--train-llm", type=pathlib.Path, default=ROOT / "build" / "release" / "train-llm")
    options = parser.parse_args()
    for name, given in (("release", options.release_dir), ("llmc", options.llmc_dir)):
        if given is None and any(peer.startswith(name) for peer in options.against):
            parser.error(f"--against {name} needs --{name}-dir, a copy of its code")
    return options


def main():
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    machine = machine_name()
    results = []
    for shape in options.shape:
        results.append(measure(options, shape))
        text = table(results, options, machine)
        (options.output / "speed.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
        (options.output / "speed.md").write_text(text)
    print(text, end="")
    return 0 if all(r["gate"]["passed"] for result in results for r in result["programs"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
