"""The shell scripts as a newcomer meets them: in a checkout without .venv and without a build."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

OPTIONS = support.arguments(__doc__)
ROOT = OPTIONS.configs.resolve().parent


class FreshCheckout(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name) / "fathom"
        for folder in ("scripts", "configs"):
            shutil.copytree(ROOT / folder, self.root / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def start_script(self, name, *words, python):
        """python: the folder of the system's python3"""
        environment = {**os.environ, "PATH": f"{python}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(["bash", self.root / "scripts" / name, *words], capture_output=True, text=True, timeout=60,
                              env=environment)

    def run_script(self, name, *words):
        done = self.start_script(name, *words, python=pathlib.Path(sys.executable).parent)  # one that has yaml
        self.assertEqual(sorted(path.name for path in self.root.iterdir()), ["configs", "scripts"], "it made something")
        return done

    def test_every_script_answers_help_and_does_nothing(self):
        for script in sorted((self.root / "scripts").glob("*.sh")):
            for flag in ("--help", "-h"):
                shown = self.run_script(script.name, flag)
                self.assertEqual((shown.returncode, shown.stderr), (0, ""), script.name)
                self.assertGreater(len(shown.stdout.splitlines()), 3, script.name)

    def test_every_script_refuses_an_unknown_option_with_one_line(self):
        for script in sorted((self.root / "scripts").glob("*.sh")):
            if script.name in ("test.sh", "run_table.sh", "soak.sh", "table_1.sh"):  # pass theirs on
                continue
            shown = self.run_script(script.name, "--nonsense")
            self.assertEqual(shown.returncode, 2, (script.name, shown.stderr))
            self.assertIn("--nonsense", shown.stderr)

    def test_a_dry_run_of_a_table_needs_no_build(self):
        support.require("yaml")
        nano = self.run_script("table_1.sh", "--scale", "nano", "--dry-run")
        self.assertEqual((nano.returncode, nano.stderr), (0, ""))
        self.assertRegex(nano.stdout, r"\Atext: documentation of Debian 12: 14\.4 MB to download, 18\.9 MB of text in ")
        # 6 placements, 3 seeds
        self.assertIn("18 runs; tokens, hours and disk are known when train-llm is built", nano.stdout)
        paper = self.run_script("table_1.sh", "--scale", "paper", "--dry-run", "--rows", "lns", "--columns", "130m,1b")
        self.assertIn("text: yours to give", paper.stdout)
        self.assertIn("130m, lns, seed 1\n  1b, lns, seed 1\n2 runs;", paper.stdout)

    def test_what_is_wrong_with_the_words_of_a_table_is_said_before_set_up_and_build(self):
        support.require("yaml")
        for words, code, message in ((["--scale", "nan"], 2, "did you mean 'nano'"),
                                     (["--scale", "paper"], 2, "--text is missing; scale paper needs text of yours"),
                                     (["--scale", "nano", "--rows", "lsn"], 2, "did you mean 'lns'"),
                                     (["--scale", "nano", "--seeds", "0"], 2, "--seeds is 0; it must be at least 1")):
            shown = self.run_script("table_1.sh", *words)
            self.assertEqual((shown.returncode, shown.stdout), (code, ""), shown.stderr)
            self.assertIn(message, shown.stderr)

    def test_a_table_on_a_machine_without_yaml_sets_up_first_and_then_looks_at_the_words(self):
        support.require("yaml")
        bare = self.root.parent / "bin"
        bare.mkdir()
        (bare / "python3").write_text(f"#!/bin/sh\nexec {sys.executable} -S \"$@\"\n")  # without installed packages
        (bare / "python3").chmod(0o755)
        (self.root / "scripts" / "setup.sh").write_text(
            f"cd \"$(dirname \"$0\")/..\" && mkdir -p .venv/bin && echo set up &&"
            f" printf '#!/bin/sh\\nexec {sys.executable} \"$@\"\\n' > .venv/bin/python && chmod +x .venv/bin/python\n")
        shown = self.start_script("table_1.sh", "--scale", "paper", python=bare)
        self.assertEqual((shown.returncode, shown.stdout), (2, "set up\n"), shown.stderr)
        self.assertIn("--text is missing", shown.stderr)
        dry = self.start_script("table_1.sh", "--scale", "nano", "--dry-run", python=bare)
        self.assertEqual(dry.returncode, 0, dry.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
