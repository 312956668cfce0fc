"""Figures of scripts/fathom_tables: what is drawn is what runs.csv has; README's picture is of the committed runs."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import support

OPTIONS = support.arguments(__doc__)
support.require("matplotlib")
support.require("yaml")
ROOT = OPTIONS.configs.resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))
from fathom_tables import figures  # noqa: E402

RUNS = """row,seed,variance_1,variance_2,variance_3
flat,1,1.0,1.0,1.0
flat,2,3.0,3.0,3.0
steep,1,1.0,2.0,4.0
diverged,1,,,
"""


def mean_lines(svg):
    """{row: [(x, y)]} of the thick lines, in the picture's units; y grows downwards."""
    found = {}
    for row, path in re.findall(r'<g id="mean-(\w+)">\s*<path d="([^"]*)"', svg):
        found[row] = [tuple(map(float, point)) for point in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path)]
    return found


class Figures(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def draw(self, runs, plan, output, *words):
        command = [sys.executable, ROOT / "scripts" / "draw_variance.py", runs, "--plan", plan, "--output", output, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_a_line_is_the_mean_of_the_seeds_of_a_row(self):
        (self.folder / "runs.csv").write_text(RUNS)
        variances = figures.read_variances(self.folder / "runs.csv")
        figures.draw_variance(variances, {"flat": "Flat & even"}, self.folder / "a.svg")
        svg = (self.folder / "a.svg").read_text()
        lines = mean_lines(svg)
        self.assertEqual(set(lines), {"flat", "steep"})
        flat, steep = ([y for _, y in lines[row]] for row in ("flat", "steep"))
        self.assertEqual(len(steep), 3)
        self.assertAlmostEqual(flat[0], flat[2], places=4)
        self.assertAlmostEqual(flat[0], steep[1], places=4)  # the mean of 1 and 3 is 2
        self.assertAlmostEqual(steep[1] - steep[2], 2 * (steep[0] - steep[1]), places=3)
        self.assertIn("Flat &amp; even", svg)

    def test_labels_keep_their_distance(self):
        self.assertEqual(figures.apart([3.0, 1.0, 1.2], 0.5), [3.0, 1.0, 1.5])

    def test_readmes_picture_is_of_the_committed_runs(self):
        folder = ROOT / "results" / "nano" / "embedding-0.02"
        drawn = self.folder / "drawn.svg"
        plan = ROOT / "configs" / "tables" / "table_1.yaml"
        done = self.draw(folder / "runs.csv", plan, drawn, "--rows", "pre,mix,lns")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        ours, theirs = mean_lines(drawn.read_text()), mean_lines((folder / "variance.svg").read_text())
        self.assertEqual(set(ours), {"pre", "mix", "lns"})
        for row, points in ours.items():
            self.assertEqual(len(points), 24)
            for ours_at, theirs_at in zip(points, theirs[row], strict=True):
                self.assertAlmostEqual(ours_at[1], theirs_at[1], places=2)
        self.assertIn("](results/nano/embedding-0.02/variance.svg)", (ROOT / "README.md").read_text())

    def test_mistakes_are_named(self):
        plan = ROOT / "configs" / "tables" / "table_1.yaml"
        gone = self.draw(self.folder / "none.csv", plan, self.folder / "a.svg")
        self.assertEqual((gone.returncode, gone.stderr.count("\n")), (2, 1), gone.stderr)
        (self.folder / "runs.csv").write_text(RUNS)
        row = self.draw(self.folder / "runs.csv", plan, self.folder / "a.svg", "--rows", "step")
        self.assertIn("did you mean 'steep'", row.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
