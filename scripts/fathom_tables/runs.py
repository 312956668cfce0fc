"""The runs of a table: known by what they are, and what they came to."""

import dataclasses
import hashlib
import json
import os
import pathlib

from fathom_tables.plan import merge
from fathom_tables.resolved import Resolved, resolve

PATHS = ("data.train", "data.validation", "data.tokenizer", "data.cache_dir", "train.out_dir")
OBSERVED = ("sample.", "probes.")  # keys that change nothing in what is trained
SEEDS = ("train.seed", "data.shuffle_seed")


@dataclasses.dataclass
class Run:
    """One training run. folder: named by the hash of its config and data, so that a change of either is another run."""

    column: str
    row: str
    seed: int
    config: dict
    folder: pathlib.Path
    resolved: Resolved

    def name(self):
        return f"{self.column}, {self.row}, seed {self.seed}"

    def result(self):
        """What it came to, or None."""
        path = self.folder / "result.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def records(self):
        """The lines of metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_json(path, value):
    """All of it or nothing."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


def nested(key, value):
    """"a.b", 1 -> {"a": {"b": 1}}."""
    section, name = key.split(".")
    return {section: {name: value}}


def folder_name(column, row, seed, values, data):
    what = {key: value for key, value in values.items() if key not in PATHS and not key.startswith(OBSERVED)}
    identity = json.dumps([what, data.identity if data else None], sort_keys=True)
    return f"{column}-{row}-{seed}-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"


def plan_runs(program, plan, rows, columns, seeds, extra, data, folder):
    """Every run, seed by seed, so that a table that is stopped early has all rows.

    Seed 1 has the seeds of the config, seed s has them s - 1 higher. extra: on top of every config. data: None in a dry
    run. @raises TableError with what train-llm says of a config"""
    runs = []
    folder.mkdir(parents=True, exist_ok=True)
    for column in columns:
        for row in rows:
            config = merge(plan.config(column, row), extra)
            resolved = resolve(program, config, folder)
            for seed in seeds:
                own_seeds = {key: resolved.whole(key) + seed - 1 for key in SEEDS}
                values = {**resolved.values(), **own_seeds}
                where = folder.resolve() / "runs" / folder_name(column, row, seed, values, data)
                paths = {"data": data.keys, "train": {"out_dir": str(where)}} if data else {}
                own = merge(config, *(nested(*entry) for entry in own_seeds.items()), paths)
                runs.append(Run(column, row, seed, own, where, resolved))
    order = {seed: number for number, seed in enumerate(seeds)}
    return sorted(runs, key=lambda run: (columns.index(run.column), order[run.seed]))
