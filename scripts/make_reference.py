#!/usr/bin/env python3
"""Writes docs/placements.md from the tables that train-llm has; with --check, says whether it is up to date.

    scripts/make_reference.py [--train-llm PATH] [--check]
"""

import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "placements.md"

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


def page(train_llm):
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
    text = page(options.train_llm)
    if not options.check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is not what the tables say; run scripts/make_reference.py")


main()
