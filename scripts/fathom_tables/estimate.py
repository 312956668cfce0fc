"""What a table will take: tokens, hours, disk. Speed is that of finished runs, else of some steps of train-llm bench."""

import json
import shutil

from fathom_tables import TableError

STEPS = 5
LONG_STEP_SECONDS = 0.5
TEXT_BYTES_PER_TOKEN, TOKEN_BYTES = 4, 2
TEXT_PER_PACKED = 3  # of gzip and zstd


def flops_per_second(program, run, folder):
    """Of training: with more and more rows, until a step is long or has as many as go through the model at once."""
    path = folder / "measure.json"
    path.write_text(json.dumps(run.config), encoding="utf-8")
    rows, most = 1, run.resolved.micro_batch_rows()
    while True:
        batch = [f"train.global_batch_size={rows}", f"train.micro_batch_size={rows}"]
        facts = program.facts("bench", path, *batch, "--steps", STEPS)
        if rows == most or facts["seconds_per_step"] > LONG_STEP_SECONDS:
            break
        rows = min(4 * rows, most)
    path.unlink()
    return facts["flops_per_second"]


def seconds_left(program, runs, jobs, folder):
    """Of all that has no result."""
    left = [run for run in runs if run.result() is None]
    if not left:
        return 0.0
    done = [(run, run.result()) for run in runs if (run.result() or {}).get("status") == "done"]
    if done:
        speed = sum(run.resolved.flops for run, _ in done) / sum(result["seconds"] for _, result in done)
    else:
        speed = flops_per_second(program, min(left, key=lambda run: run.resolved.flops), folder)
    return sum(run.resolved.flops for run in left) / speed / min(jobs, len(left))


def token_file_bytes(text_bytes, packed):
    """packed: whether the text is compressed."""
    return text_bytes * (TEXT_PER_PACKED if packed else 1) * TOKEN_BYTES // TEXT_BYTES_PER_TOKEN


def checkpoint_bytes(runs, jobs):
    """What every run keeps at its end, and those being written."""
    kept = sum(run.resolved.most_checkpoint_bytes - run.resolved.checkpoint_bytes for run in runs)
    return kept + jobs * max(run.resolved.checkpoint_bytes for run in runs)


def heading(plan):
    return f"{plan.title}; scale {plan.scale_name}: {plan.scale['about']}"


def say_unbuilt(plan, rows, columns, seeds):
    """What is known without train-llm."""
    print(heading(plan))
    for column in columns:
        for seed in seeds:
            for row in rows:
                print(f"  {column}, {row}, seed {seed}")
    print(f"{len(columns) * len(seeds) * len(rows)} runs; tokens, hours and disk are known when train-llm is built: "
          "scripts/build.sh train-llm")


def say(program, plan, runs, jobs, text_bytes, packed, folder):
    """Prints what is to come. text_bytes, packed: of the text that is trained on"""
    left = [run for run in runs if run.result() is None]
    tokens = sum(run.resolved.tokens for run in left)
    print(heading(plan))
    for run in runs:
        result = run.result()
        print(f"  {run.name()}: {run.resolved.tokens:,} tokens" + (f", {result['status']}" if result else ""))
    try:
        hours = f"about {seconds_left(program, runs, jobs, folder) / 3600:,.2f} hours, {jobs} at a time"
    except TableError as error:
        hours = f"hours unknown, as a short run failed: {error}"
    free = shutil.disk_usage(folder).free
    disk = checkpoint_bytes(runs, jobs) + token_file_bytes(text_bytes, packed)
    print(f"{len(left)} of {len(runs)} runs are to do: {tokens:,} tokens, {hours}")
    print(f"disk: about {disk / 1e9:,.1f} GB in {folder}, {free / 1e9:,.1f} GB are free", flush=True)
    if disk > free:
        print("disk: that may not be enough; choose another --out", flush=True)
