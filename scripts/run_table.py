"""Runs a table of the paper: every row, size and seed of a plan, beside the paper's numbers.

What has run is not run again: a run is known by its config and the checksum of its data. Stop it at any time; the same
command goes on. A run whose loss stops being finite is a result, too. Writes table.md, table.csv and runs.csv.
"""

from fathom_tables import command

if __name__ == "__main__":
    command.run_as_program(__doc__)
