"""Checks the JSON Schema that train-llm prints against PyPI's jsonschema.

Every shipped config must be valid, and configs with mistakes must not be.
"""

import json
import re
import subprocess
import sys

import support

yaml = support.require("yaml")
Draft202012Validator = support.require("jsonschema").Draft202012Validator


class Yaml12Loader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2's core schema, which editors use."""


Yaml12Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
]:
    Yaml12Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first)
    )

MISTAKES = [
    {"modle": {}},
    {"model": {"hidden_sizes": 64}},
    {"model": {"hidden_size": "64"}},
    {"model": {"hidden_size": 1.5}},
    {"model": {"hidden_size": 0}},
    {"model": {"norm": {"placement": "nosuch"}}},
    {"model": 5},
    {"train": {"deterministic": 1}},
    {"optimizer": {"lr": 0}},
    {"optimizer": {"betas": [0.9, 1]}},
    {"optimizer": {"betas": 0.9}},
    {"data": {"train": [1]}},
    {"extends": {}},
    [],
]


def leaves(schema, path=()):
    """The path and the schema of every key."""
    for name, entry in schema["properties"].items():
        if "properties" in entry:
            yield from leaves(entry, (*path, name))
        else:
            yield (*path, name), entry


def main():
    options = support.arguments(__doc__)
    text = subprocess.run([options.train_llm, "schema"], check=True, capture_output=True).stdout
    schema = json.loads(text)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    failures = []

    files = sorted(options.configs.glob("*.yaml"))
    if not files:
        failures.append(f"no configs in {options.configs}")
    for file in files:
        for loader in (Yaml12Loader, yaml.SafeLoader):
            config = yaml.load(file.read_text(), loader)
            failures += [f"{file}: {error.message}" for error in validator.iter_errors(config)]
    for mistake in MISTAKES:
        if validator.is_valid(mistake):
            failures.append(f"accepted: {mistake}")
    for path, entry in leaves(schema):
        name = ".".join(path)
        if not entry.get("description"):
            failures.append(f"{name} has no description")
        if "default" in entry and not Draft202012Validator(entry).is_valid(entry["default"]):
            failures.append(f"{name}: its own default {entry['default']!r} is not valid")

    for failure in failures:
        print(failure)
    print(f"{len(files)} configs, {len(MISTAKES)} mistakes, {len(list(leaves(schema)))} keys")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
