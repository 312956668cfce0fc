"""What a config comes to, as `train-llm plan --json` says: every key with its default, and what the run costs."""

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class Resolved:
    """facts: of `train-llm plan`. A value is the text that a config would have; a key that isn't set has none."""

    facts: dict

    def values(self):
        """{key: text} of all keys."""
        return {key: entry["value"] for key, entry in self.facts["config"].items()}

    def text(self, key):
        return self.facts["config"][key]["value"]

    def whole(self, key):
        """None where the key isn't set and has no default."""
        return int(self.text(key)) if key in self.facts["config"] else None

    def number(self, key):
        return float(self.text(key))

    @property
    def steps(self):
        return self.facts["steps"]

    @property
    def tokens(self):
        return self.facts["tokens"]

    @property
    def flops(self):
        """Of the whole run."""
        return self.tokens * self.facts["flops_per_token"]

    @property
    def checkpoint_bytes(self):
        return self.facts["disk_bytes"]["checkpoint"]

    @property
    def most_checkpoint_bytes(self):
        """While a checkpoint is written, beside those that are kept."""
        return self.facts["disk_bytes"]["most_at_once"]

    def micro_batch_rows(self):
        return self.whole("train.micro_batch_size") or self.whole("train.global_batch_size")


def resolve(program, config, folder):
    """@raises TableError with what train-llm says of the config"""
    path = folder / "plan.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    facts = program.facts("plan", path)
    path.unlink()
    return Resolved(facts)
