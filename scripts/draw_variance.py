#!/usr/bin/env python3
"""Draws the output variance of each layer, of some rows of a table, from its runs.csv.

    scripts/draw_variance.py results/nano/embedding-0.02/runs.csv --plan configs/tables/table_1.yaml \\
        --rows pre,mix,lns --output results/nano/embedding-0.02/variance.svg
"""

import argparse
import pathlib
import sys

from fathom_tables import TableError, figures, plan


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=pathlib.Path, help="a table's runs.csv")
    parser.add_argument("--plan", type=pathlib.Path, required=True, help="its YAML of configs/tables, for titles")
    parser.add_argument("--rows", type=lambda text: text.split(","), metavar="A,B",
                        help="only these rows, in this order")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE.svg")
    options = parser.parse_args()
    found = figures.read_variances(options.runs)
    rows = [plan.choose(row, found, "--rows") for row in options.rows or found]
    titles = {name: row["title"] for name, row in plan.read_yaml(options.plan)["rows"].items()}
    figures.draw_variance({row: found[row] for row in rows}, titles, options.output)


if __name__ == "__main__":
    try:
        main()
    except TableError as error:
        print(f"draw_variance: error: {error}", file=sys.stderr)
        sys.exit(error.code)
