"""scripts/bench_peers.py: its arithmetic on made-up numbers, and a run of a small model beside each kind of peer.

The code of others is not here. In its place stand a folder with the authors' names in which transformers' Llama is, and a
program that reads llm.c's files and prints steps as it does.
"""

import argparse
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import support

options = support.arguments(__doc__)
support.require("transformers")
SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
import bench_peers  # noqa: E402
from peers import llmc  # noqa: E402

TINY = {"max_seq_len": 16, "vocab_size": 100, "num_layers": 2, "num_heads": 2, "channels": 8, "padded_vocab_size": 128}
LLMC = r"""
#include <stdio.h>
#include <unistd.h>
static long head(const char* path, int place) {  // a number of a header, and the size of the file
  int header[256]; FILE* file = fopen(path, "rb");
  if (!file || fread(header, 4, 256, file) != 256) return -1;
  fseek(file, 0, SEEK_END);
  return place < 0 ? ftell(file) : header[place];
}
int main() {
  int B = 4;  // as in train_gpt2.c
  int T = 64;
  const char *weights = "gpt2_124M.bin", *tokens = "dev/data/tinyshakespeare/tiny_shakespeare_train.bin";
  if (head(weights, 0) != 20240326 || head(weights, 1) != 3 || head(tokens, 0) != 20240520 || head(tokens, 1) != 1) return 1;
  if (head(tokens, -1) != 1024 + 2 * head(tokens, 2) || head(tokens, 2) <= 40 * B * T) return 2;
  for (int step = 0;; step++) {
    printf("step %d: train loss 4.5 (took %d ms)\n", step, step == 0 ? 9000 : B * T);
    usleep(10000);
  }
}
"""


def block(speed, losses=(5.0, 4.0), norms=(2.0, 1.0), memory=2**30):
    return {"tokens_per_second": speed, "losses": losses, "gradient_norms": norms, "peak_memory_bytes": memory}


class Measured:
    def __init__(self, name, speeds, memory):
        self.name, self.blocks = name, [block(speed, memory=memory) for speed in speeds]


def shapes_are_read():
    assert bench_peers.parse_shape("9m:16x256") == ("9m", 16, 256) and str(bench_peers.parse_shape("9m:16x256")) == "9m:16x256"
    for wrong in ("9m", "9m:16", ":16x256", "9m:16xa"):
        try:
            bench_peers.parse_shape(wrong)
        except argparse.ArgumentTypeError as error:
            assert wrong in str(error)
        else:
            raise AssertionError(wrong)


def the_gate_takes_the_worst_number():
    reference = block(0)
    assert bench_peers.gate(reference, block(0), 1e-4) == (0, True)
    worst, passed = bench_peers.gate(reference, block(0, losses=(5.0, 4.0004)), 2e-4)
    assert math.isclose(worst, 1e-4, rel_tol=1e-6) and passed
    assert not bench_peers.gate(reference, block(0, norms=(2.0, 0.9)), 2e-2)[1]
    assert not bench_peers.gate(reference, block(0, losses=(5.0, math.nan)), 1e-4)[1], "NaN passes the gate"


def ratios_are_medians_of_pairs():
    running = [Measured("fathom", [100, 90, 110], 2**30), Measured("eager", [50, 60, 40], 4 * 2**30)]
    warm = {"fathom": block(0), "eager": block(0, losses=(5.0, 4.4))}
    eager = bench_peers.compare(running, warm, "fp32")["eager"]
    assert eager["tokens_per_second"] == 50 and eager["fathom_over_this"] == 2.0, eager  # of 2, 1.5 and 2.75
    assert (eager["slowest"], eager["fastest"], eager["memory_of_fathom_over_this"]) == (40, 60, 0.25), eager
    assert not eager["gate"]["passed"], eager
    text = bench_peers.table([{"shape": "9m:2x8", "programs": {"eager": eager}}],
                             argparse.Namespace(rounds=3, steps=2, precision="fp32"), "a machine")
    assert "| 9m:2x8 | eager | 50 (40-60) | 2.00 | 4.00 GiB | 0.25 | FAILED, 1.0e-01 |" in text, text


def llmc_is_counted_by_its_own_formula():
    # What train_gpt2 prints of GPT-2 124M with its vocabulary padded: num_parameters: 124475904.
    assert sum(llmc.weight_sizes(llmc.GPT2).values()) == 124475904
    assert llmc.flops_per_token(llmc.GPT2, 64) == 6 * 124475904 + 6 * 12 * 768 * 64
    with tempfile.TemporaryDirectory() as scratch:
        llmc.write_inputs(pathlib.Path(scratch), TINY, bench_peers.Shape("", 2, 8))
        weights = (pathlib.Path(scratch) / "gpt2_124M.bin").read_bytes()
    assert struct.unpack("<8i", weights[:32]) == (20240326, 3, 16, 100, 2, 2, 8, 128)
    assert len(weights) == 1024 + 4 * sum(llmc.weight_sizes(TINY).values())
    summary = {"flops_per_second": 2e9, "slowest": 1e9, "fastest": 3e9, "peak_memory_bytes": 2**31}
    text = llmc.table([("130m:4x64", {"fathom": summary, "llm.c": summary, "ratios": [4.0, 5.0, 9.0]})])
    assert "| 130m:4x64 | llm.c | GPT-2 124M | 2.0 (1.0-3.0) | 5.00 | 2.00 GiB |" in text, text


def llmc_runs_in_turn_with_fathom(folder):
    (folder / "llmc").mkdir()
    (folder / "train_gpt2.c").write_text(LLMC)
    (folder / "Makefile").write_text("train_gpt2: train_gpt2.c\n\t$(CC) -o $@ $<\n")

    class Fathom:
        def block(self):
            return {"flops_per_second": 5e9, "peak_memory_bytes": 2**30}

    shape = bench_peers.Shape("smoke", 2, 16)
    result = llmc.measure(Fathom(), folder, shape, rounds=2, steps=2, model=TINY)
    expected = llmc.flops_per_token(TINY, 16) * 2 * 16 / 0.032  # B x T milliseconds a step, the first left out
    assert math.isclose(result["llm.c"]["flops_per_second"], expected) and result["llm.c"]["peak_memory_bytes"] > 0, result
    assert all(math.isclose(ratio, 5e9 / expected) for ratio in result["ratios"]) and len(result["ratios"]) == 2, result


def peers_run_beside_fathom(folder):
    release = folder / "peft_pretraining"
    release.mkdir()
    (release / "modeling_llama.py").write_text("from transformers import LlamaForCausalLM\nprint('a line for each layer')\n")
    command = [sys.executable, SCRIPTS / "bench_peers.py", "--shape", "smoke:2x16", "--rounds", "1", "--steps", "2", "--threads",
               "1", "--against", "eager,release-adam", "--train-llm", options.train_llm, "--output", folder / "out"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2 and "needs --release-dir" in refused.stderr, refused
    done = subprocess.run([*command, "--release-dir", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [result] = json.loads((folder / "out" / "speed.json").read_text())["results"]
    assert list(result["programs"]) == ["fathom", "eager", "release-adam"], result
    for name, program in result["programs"].items():
        assert program["gate"]["passed"] and program["tokens_per_second"] > 0, (name, program)


shapes_are_read()
the_gate_takes_the_worst_number()
ratios_are_medians_of_pairs()
llmc_is_counted_by_its_own_formula()
for run in (llmc_runs_in_turn_with_fathom, peers_run_beside_fathom):
    with tempfile.TemporaryDirectory() as directory:
        run(pathlib.Path(directory))
