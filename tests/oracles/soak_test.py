"""The campaign of faults in its short form: some tries of each case that takes seconds."""

import pathlib
import sys
import tempfile

import support

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))
import soak  # noqa: E402  (needs the path above)

CASES = ("kills", "kills-before-calls", "failing-calls", "full-disk", "damaged-checkpoints", "damaged-models",
         "damaged-token-files", "lost-ranks", "limits")

options = support.arguments(__doc__, seed=support.seed(), tries=2)
with tempfile.TemporaryDirectory() as folder:
    cases = [argument for case in CASES for argument in ("--only", case)]
    sys.exit(soak.main(["--build", str(options.train_llm.parent), "--output", folder, "--seed", str(options.seed),
                        "--tries", str(options.tries), *cases]))
