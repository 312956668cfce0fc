"""The engine behind scripts/run_table.py. It drives train-llm, which alone resolves configs, and reads what it writes.

plan        a table as data: rows x columns -> config, seeds, the paper's numbers, claims
program     train-llm as a function
resolved    what a config means: values, tokens, FLOPs, checkpoints, as `train-llm plan` says
texts       what is trained on: files, tokenizer, token files; debian_text brings the text of a plan that names one
runs        runs by identity, and their results; execution starts, watches and stops them
estimate    hours and disk before anything runs
claims      verdicts, by statistics; report writes them beside the numbers; figures draws them
command     the command line
"""


class TableError(Exception):
    """What the user can mend, in one line. code: the exit code, train-llm's own where it failed."""

    def __init__(self, message, code=2):
        super().__init__(message)
        self.code = code
