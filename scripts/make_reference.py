#!/usr/bin/env python3
"""Writes docs/placements.md and docs/config.md from what train-llm declares; with --check, says whether they are up to date.

    scripts/make_reference.py [--train-llm PATH] [--check]
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

INTRODUCTION = """# Norm placements

Made by scripts/make_reference.py from the tables in src/model/placement.cc and src/model/init.cc.

`x` is the residual stream, `F` attention or feed-forward, `layer` = 1..L, `norm` RMSNorm with a learned gain (with
`model.norm.kind=layer`: LayerNorm). Every placement is a plan of numbers that one residual step reads:

    y = gate(sum_norm(skip_scale skip_gain gate(x)
                      + output_scale branch_gain output_norm(F(norm_scale input_norm(input_scale x))))
             sum_scale)

`train-llm plan CONFIG` prints the plan of each layer, and `train-llm check CONFIG` measures it on the built model. Keys
are those of `model.norm`; `train-llm train --help` says what they mean.

`train-llm export` puts norm_scale, output_scale, branch_gain and a learned exponent into the weights. Where a plain
residual step is left, as of `lns`, `layerscale` and `skipinit`, what it writes is a Llama for every runtime (an OLMo 2
of `reordered`); anything else comes with modelling code.
"""

SECTIONS = (
    ("placements", "Placements", "A name for all layers, or one for each: `model.norm.placement='post x3, pre x9'`."),
    ("scalings", "Scalings", "On top of any placement that leaves room for it; a placement that has it already says so."),
    ("inits", "Initialisations", "How the matrices start, unless the placement prescribes it."),
)


CONFIG_INTRODUCTION = """# Config reference

Made by scripts/make_reference.py from the declarations in src/config.

A config is YAML or JSON: sections, and keys in them; `extends: NAME` starts from a preset (`train-llm list presets`) or another file.
On the command line a key is `section.key=value`. A key counts only where its row says so, and is refused elsewhere. A name from
another trainer is answered with the right one. An example:

    extends: 130m
    model: {norm: {placement: lns}}
    data: {train: [books/], validation: [held-out.txt], tokenizer: books.model}
    train: {max_steps: 1000, global_batch_size: 64, out_dir: out/books}
    sample: {interval: 100, prompts: ["Once upon a time"]}
    probes:
      - {name: variance, interval: 500}
"""


def allowed(schema):
    """Type and range of a key, in words."""
    if "anyOf" in schema:
        return " \\| ".join(schema["anyOf"][0]["enum"]) + ", or a list by layer"
    if "enum" in schema:
        return " \\| ".join(schema["enum"])
    if schema["type"] == "array":
        return f"list of: {allowed(schema['items'])}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    names = {"string": "text", "boolean": "true \\| false", "integer": "whole number", "number": "number"}
    return ", ".join([names[schema["type"]], *(f"{word} {schema[key]:,}" for key, word in words.items() if key in schema)])


def keys_of(section, prefix):
    """A row for each key below a section of the schema."""
    for name, schema in section["properties"].items():
        if name == "extends":
            continue
        if schema.get("type") == "object":
            yield from keys_of(schema, f"{prefix}{name}.")
        elif schema.get("items", {}).get("type") == "object":
            yield from keys_of(schema["items"], f"{prefix}{name}[].")
        else:
            default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
            meaning = schema["description"].replace("|", "\\|")
            yield f"| `{prefix}{name}` | {allowed(schema)} | {default} | {meaning} |"


def config_page(train_llm):
    schema = json.loads(subprocess.run([train_llm, "schema"], check=True, capture_output=True, text=True).stdout)
    parts = [CONFIG_INTRODUCTION]
    for name, section in schema["properties"].items():
        if name != "extends":
            rows = "\n".join(keys_of({"properties": {name: section}}, ""))
            parts.append(f"## {name}\n\n| key | allowed | default | meaning |\n|---|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def placements_page(train_llm):
    parts = [INTRODUCTION]
    for table, title, text in SECTIONS:
        rows = subprocess.run([train_llm, "list", table, "--markdown"], check=True, capture_output=True, text=True).stdout
        parts.append(f"## {title}\n\n{text}\n\n{rows}")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train-llm", type=pathlib.Path, default=ROOT / "build/release/train-llm")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    for page, text in ((DOCS / "placements.md", placements_page(options.train_llm)),
                       (DOCS / "config.md", config_page(options.train_llm))):
        if not options.check:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            sys.exit(f"{page.relative_to(ROOT)} is not what train-llm declares; run scripts/make_reference.py")


main()
