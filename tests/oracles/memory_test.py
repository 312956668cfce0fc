"""The memory that `plan` names is what a run then takes, within 10 %."""

import json
import pathlib
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)

with tempfile.TemporaryDirectory() as scratch:
    runs = Runs(options.train_llm, pathlib.Path(scratch))
    for name, rows, micro in [("9m", 16, 16), ("9m", 12, 4), ("60m", 4, 4)]:
        config = [name, "train.precision=fp32", f"train.global_batch_size={rows}", f"train.micro_batch_size={micro}",
                  "train.max_steps=3", "lr_scheduler.warmup_steps=1", "data.mode=packed", f"data.train={runs.text}",
                  f"data.tokenizer={runs.tokenizer}", "log.interval=1", "checkpoint.interval=0"]
        planned = json.loads(runs.check("plan", *config, "--json").stdout)["memory_bytes"]["total"]
        out = f"{name}_{rows}_{micro}"
        runs.check("train", *config, f"train.out_dir={out}")
        measured = max(record.get("perf/peak_memory_bytes", 0) for record in runs.metrics(out))
        print(f"{name}, {rows} rows, {micro} at once: planned {planned >> 20} MiB, took {measured >> 20} MiB")
        assert abs(planned / measured - 1) <= 0.10, planned / measured
