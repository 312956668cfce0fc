"""A Llama as one trains it in Python, for scripts/bench_peers.py: the same weights, batches and optimizer as
`train-llm bench --paced`, a block of steps for each line of stdin, and a line of JSON for each block."""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import sys
import time

import numpy
import safetensors.torch
import torch
import transformers

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--batches", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=sorted(DTYPES), default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--release", help="folder of the paper's authors' code, whose model and call are used instead")
    parser.add_argument("--default-adam", action="store_true", help="torch.optim.Adam as it is by default, not fused")
    return parser.parse_args()


def transformers_llama(options):
    """A model, and its loss of rows of length + 1 tokens."""
    model = transformers.LlamaForCausalLM.from_pretrained(options.model, dtype=DTYPES[options.precision], attn_implementation="sdpa")
    model.config.use_cache = False

    def loss_of(rows):
        logits = model(input_ids=rows[:, :-1]).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())

    return model, loss_of


def release_llama(options):
    """The authors' Pre-LN Llama, called as in their training loop. It shifts the labels itself, so that it is given whole
    rows and computes the last token too, whose logits it drops: 1/length more than the others. LNS is no choice: their
    code compares NORM_TYPE in lower case with 'LNS', finds nothing, and leaves all norms out."""
    os.environ["NORM_TYPE"] = "pre"
    sys.path.insert(0, options.release)
    with contextlib.redirect_stdout(sys.stderr):  # it prints a line for each layer
        from peft_pretraining.modeling_llama import LlamaForCausalLM
        model = LlamaForCausalLM(transformers.LlamaConfig.from_pretrained(options.model))
    found = model.load_state_dict(safetensors.torch.load_file(options.model / "model.safetensors"), strict=False)
    if found.unexpected_keys or not all(name.endswith("rotary_emb.inv_freq") for name in found.missing_keys):
        raise SystemExit(f"the release's model has other weights: {found}")
    model.to(DTYPES[options.precision])

    def loss_of(rows):
        return model(input_ids=rows, attention_mask=torch.ones_like(rows), labels=rows.clone()).loss

    return model, loss_of


def peak_memory(device):
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    options = arguments()
    model, loss_of = (release_llama if options.release else transformers_llama)(options)
    model.to(options.device).train()
    fused = None if options.default_adam else True
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr, betas=(0.9, 0.999), eps=1e-8, fused=fused)
    rows = numpy.fromfile(options.batches, dtype="<i4").reshape(-1, options.rows, options.length + 1)
    batches = torch.from_numpy(rows.astype("int64"))
    if options.compile:
        loss_of = torch.compile(loss_of)
    done = 0
    for _ in sys.stdin:
        block = {"seconds": [], "losses": [], "gradient_norms": []}
        for _ in range(options.steps):
            start = time.perf_counter()
            batch = batches[done % len(batches)].to(options.device)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(batch)
            loss.backward()
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
            optimizer.step()
            block["losses"].append(loss.item())
            block["gradient_norms"].append(norm.item())
            block["seconds"].append(time.perf_counter() - start)
            done += 1
        seconds = sorted(block["seconds"])[options.steps // 2]
        tokens = options.rows * options.length
        print(json.dumps(block | {"seconds_per_step": seconds, "tokens_per_second": tokens / seconds,
                                  "peak_memory_bytes": peak_memory(options.device)}), flush=True)


if __name__ == "__main__":
    main()
