"""What every Python test here shares. CTest runs each *_oracle.py and *_test.py of this folder with .venv's Python and the
same arguments; a script takes the ones it needs:

    arguments = support.arguments(__doc__)
    numpy = support.require("numpy")
"""

import argparse
import importlib
import os
import pathlib
import sys

SKIPPED = 77  # CTest's SKIP_RETURN_CODE


class NotHere(Exception):
    """What this machine doesn't allow, and why."""


def skip(reason):
    """Ends the script; CTest shows the test as skipped."""
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def require(module):
    """The imported oracle, or a skip where it isn't installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        skip(f"{error}; scripts/setup.sh installs it")


def seed():
    """Of a test's random inputs: always the same, or FATHOM_TEST_SEED, as tests/base/test_seed.h has it."""
    return int(os.environ.get("FATHOM_TEST_SEED", 1))


def arguments(description, **extra):
    """The paths that CTest passes, checked where the script is run by hand.

    extra: further options, name = default, e.g. seed=support.seed().
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--train-llm", type=pathlib.Path, help="the program under test")
    parser.add_argument("--tool", type=pathlib.Path, help="X_tool, built from tests/*/X_tool.cc for X_oracle.py")
    parser.add_argument("--shared", type=pathlib.Path, help="folder of data that is not part of the project")
    parser.add_argument("--configs", type=pathlib.Path, help="the shipped configs")
    for name, default in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    return parser.parse_args()


def shared_file(options, name):
    """A file of the data beside the checkout, or a skip where there is none."""
    path = options.shared / name if options.shared else None
    if path is None or not path.exists():
        skip(f"{name} is not there: {path}")
    return path
