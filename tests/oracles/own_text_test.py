"""A first run on a text of one's own: a preset trains on all of it, says how often and what is left out; epochs are steps."""

import json
import math
import pathlib
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)
SMALL = ["model.num_hidden_layers=1", "model.hidden_size=32", "model.intermediate_size=64", "model.num_attention_heads=2",
         "train.precision=fp32", "lr_scheduler.warmup_steps=0", "log.interval=1"]


def check(condition, *shown):
    assert condition, shown


def plan(runs, *words):
    return json.loads(runs.check("plan", *words, "--json").stdout)


with tempfile.TemporaryDirectory() as scratch:
    our_runs = Runs(options.train_llm, pathlib.Path(scratch))
    texts = our_runs.folder / "text"
    texts.mkdir()
    whole = our_runs.text.read_text().splitlines(keepends=True)
    for part in range(3):
        (texts / f"{part}.txt").write_text("".join(whole[part::3]))
    made = our_runs.check("prepare", texts, "--tokenizer", our_runs.tokenizer, "--output", "made", "--json")
    tokens = json.loads(made.stdout)[0]["tokens"]
    rows = math.ceil((tokens - 1) / 256)
    preset = ["9m", f"data.train={texts}", f"data.tokenizer={our_runs.tokenizer}", *SMALL]

    # The presets pack: every token but the first is predicted.
    planned = plan(our_runs, *preset)["data"]
    check(planned["train"] == {"documents": 3, "tokens": tokens, "rows": rows, "targets": tokens - 1, "cut_documents": 0,
                               "cut_tokens": 0}, planned)
    check(math.isclose(planned["epochs"], 10000 * 512 / rows), planned)

    # Rows of documents leave out what is longer, and say so, in train, eval and plan.
    short = ["train.max_steps=1", "train.global_batch_size=2", "train.micro_batch_size=2", "train.out_dir=cut"]
    cut = our_runs.check("train", *preset, *short, "data.mode=documents", f"data.validation={texts}")
    lost = f"3 of 3 documents after 256 tokens: {tokens - 3 * 256:,} of {tokens:,} tokens"
    check(cut.stderr.count(lost) == 2, cut.stderr)
    check(lost in our_runs.check("plan", *preset, *short, "data.mode=documents").stdout)
    scored = our_runs.check("eval", "cut", "--text", texts, "--mode", "documents", "--sequence-length", 256)
    check(lost in scored.stderr, scored.stderr)
    check(lost not in our_runs.check("eval", "cut", "--text", texts, "--mode", "packed").stderr)

    # Epochs are as many steps as their rows take, rounded up, in plan and in train, also over a restart.
    epochs = ["train.global_batch_size=16", "train.micro_batch_size=16", "train.max_epochs=1.5"]
    steps = math.ceil(1.5 * rows / 16)
    check(plan(our_runs, *preset, *epochs)["steps"] == steps, steps)
    straight = our_runs.check("train", *preset, *epochs, "train.out_dir=straight")
    check(f"{steps} steps of 16 rows go through it" in straight.stderr, straight.stderr)
    our_runs.check("train", *preset, *epochs, "train.out_dir=resumed", "--stop-after", 2)
    our_runs.check("train", *preset, *epochs, "train.out_dir=resumed")
    check(our_runs.losses("straight")[-1][0] == steps, our_runs.losses("straight"))
    check(our_runs.losses("straight") == our_runs.losses("resumed"))
    check(our_runs.weights("straight", steps) == our_runs.weights("resumed", steps))
    check("max_epochs: 1.5" in (our_runs.folder / "straight" / "config.yaml").read_text())
    unknown = our_runs.run("plan", "9m", "train.max_epochs=1")
    check(unknown.returncode == 2 and "train.max_epochs" in unknown.stderr and "data.train" in unknown.stderr, unknown.stderr)
    few = our_runs.run("train", *preset, *epochs, "train.out_dir=few", f"lr_scheduler.warmup_steps={steps + 1}")
    check(few.returncode == 2 and "lr_scheduler.warmup_steps" in few.stderr, few.stderr)
