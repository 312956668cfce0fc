"""What a table will take: tokens, hours, disk. The speed is measured by a few steps on made-up text."""

import json
import shutil

from tables import TableError
from tables.plan import merge, read_yaml

STEPS = 6
LONG_STEP_MS = 500
WORDS = "the quick brown fox jumps over a lazy dog while seven wizards mix black quartz and juggle vexed imps".split()


def made_up_text(rows):
    return "\n".join(" ".join(WORDS[(i * j + j * j) % len(WORDS)] for j in range(1, 60)) for i in range(rows))


def flops_per_second(program, run, folder):
    """Of training: with more and more rows, until a step is long or as large as the run's."""
    place = folder / "measure"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    text, tokenizer = place / "text.txt", place / "tokenizer.model"
    text.write_text(made_up_text(3000), encoding="utf-8")
    program.run("tokenizer", "train", text, "--vocab-size", 300, "--output", tokenizer)
    train = run.config.get("train", {})
    rows, most = 1, train.get("micro_batch_size", train.get("global_batch_size", 128))
    while True:
        config = merge(run.config, {
            "data": {"train": [str(text)], "tokenizer": str(tokenizer), "cache_dir": str(place), "mode": "packed"},
            "train": {"global_batch_size": rows, "micro_batch_size": rows, "out_dir": str(place / f"rows-{rows}")},
            "log": {"interval": 1}, "checkpoint": {"interval": 0}, "eval": {"interval": 0}})
        config["data"].pop("validation", None)
        path = place / "run.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        program.run("train", path, "--stop-after", STEPS)
        records = [json.loads(line) for line in (place / f"rows-{rows}" / "metrics.jsonl").read_text().splitlines()]
        times = sorted(record["perf/step_ms"] for record in records if record["event"] == "train")
        median = times[len(times) // 2]
        shutil.rmtree(place / f"rows-{rows}")
        if rows == most or median > LONG_STEP_MS:
            break
        rows = min(4 * rows, most)
    shutil.rmtree(place)
    facts = run.cost["flops"] / run.cost["tokens"]
    return facts * rows * run.config.get("data", {}).get("sequence_length", 256) / median * 1000


def seconds_left(program, runs, jobs, folder):
    """Of all that has no result, by finished runs of this table or, where there is none, by measuring."""
    left = [run for run in runs if run.result() is None]
    if not left:
        return 0.0
    done = [(run, run.result()) for run in runs if (run.result() or {}).get("status") == "done"]
    if done:
        speed = sum(run.cost["flops"] for run, _ in done) / sum(result["seconds"] for _, result in done)
    else:
        speed = flops_per_second(program, min(left, key=lambda run: run.cost["flops"]), folder)
    return sum(run.cost["flops"] for run in left) / speed / min(jobs, len(left))


def disk_bytes(runs, jobs, text_bytes, packed):
    """Checkpoints, one for each run and one more for each in progress, and token files at two bytes a token.

    packed: whether the text is compressed (then about a third); a token is about four bytes of text."""
    largest = max(run.cost["checkpoint"] for run in runs)
    return sum(run.cost["checkpoint"] for run in runs) + jobs * largest + text_bytes * (3 if packed else 1) // 2


def with_presets(config, presets):
    """The config on top of those that it extends, which are files of a folder."""
    base = config.get("extends")
    if base is None:
        return config
    name = base if base.endswith(".yaml") else f"llama_{base}.yaml"
    return merge(with_presets(read_yaml(presets / name), presets), config)


def say_unbuilt(plan, rows, columns, seeds, presets):
    """What the plan alone says."""
    print(f"{plan.title}; scale {plan.scale_name}: {plan.scale['about']}")
    total = 0
    for column in columns:
        for seed in seeds:
            for row in rows:
                config = with_presets(plan.config(column, row, seed), presets)
                steps, rows_of_step = config["train"]["max_steps"], config["train"]["global_batch_size"]
                tokens = steps * rows_of_step * config["data"]["sequence_length"]
                print(f"  {column}, {row}, seed {seed}: {steps:,} steps, {tokens:,} tokens")
                total += tokens
    print(f"{len(columns) * len(seeds) * len(rows)} runs: {total:,} tokens; hours and disk are known when train-llm is built: "
          "scripts/build.sh train-llm")


def say(program, plan, runs, jobs, text, folder, free):
    """Prints what is to come."""
    left = [run for run in runs if run.result() is None]
    tokens = sum(run.cost["tokens"] for run in left)
    print(f"{plan.title}; scale {plan.scale_name}: {plan.scale['about']}")
    for run in runs:
        result = run.result()
        print(f"  {run.name()}: {run.cost['tokens']:,} tokens" + (f", {result['status']}" if result else ""))
    try:
        hours = f"about {seconds_left(program, runs, jobs, folder) / 3600:,.2f} hours, {jobs} at a time"
    except TableError as error:
        hours = f"hours unknown, as a short run failed: {error}"
    packed = any(file.suffix in (".gz", ".zst") for file in text.train)
    disk = disk_bytes(runs, jobs, text.bytes(), packed)
    print(f"{len(left)} of {len(runs)} runs are to do: {tokens:,} tokens, {hours}")
    print(f"disk: about {disk / 1e9:,.1f} GB in {folder}, {free / 1e9:,.1f} GB are free", flush=True)
    if disk > free:
        print("disk: that may not be enough; choose another --out", flush=True)
