"""A transformers Llama as one trains it in Python, for scripts/bench_peers.py: the same weights, batches and optimizer as
`train-llm bench --paced`, a block of steps for each line of stdin, and a line of JSON for each block."""

import argparse
import json
import resource
import sys
import time

import numpy
import torch
import transformers


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--batches", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def peak_memory(device):
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    options = arguments()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[options.precision]
    model = transformers.LlamaForCausalLM.from_pretrained(options.model, dtype=dtype, attn_implementation="sdpa")
    model.to(options.device).train()
    model.config.use_cache = False
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr, betas=(0.9, 0.999), eps=1e-8, fused=True)
    rows = numpy.fromfile(options.batches, dtype="<i4").reshape(-1, options.rows, options.length + 1)
    batches = torch.from_numpy(rows.astype("int64"))

    def loss_of(tokens, targets):
        logits = model(input_ids=tokens).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    if options.compile:
        loss_of = torch.compile(loss_of)
    done = 0
    for _ in sys.stdin:
        block = {"seconds": [], "losses": [], "gradient_norms": []}
        for _ in range(options.steps):
            start = time.perf_counter()
            batch = batches[done % len(batches)].to(options.device)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(batch[:, :-1], batch[:, 1:])
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
