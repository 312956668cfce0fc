"""The engine behind scripts/run_table.py: plan, text, runs, claims, report. It drives train-llm and reads its outputs."""


class TableError(Exception):
    """What the user can mend, in one line. code: the exit code, train-llm's own where it failed."""

    def __init__(self, message, code=2):
        super().__init__(message)
        self.code = code
