"""scripts/run_table.py on a tiny plan: what it runs, skips, resumes and says."""

import csv
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import support
from runs import Runs

OPTIONS = support.arguments(__doc__)
support.require("yaml")
SCRIPTS = OPTIONS.configs.resolve().parent / "scripts"

PLAN = """
title: Tiny table
source: nowhere
rows:
  pre: {title: Pre-LN, config: {model: {norm: {placement: pre}}}}
  absurd: {title: Absurd, config: {model: {norm: {placement: pre}}, optimizer: {name: adamw, lr: 1000, weight_decay: 0.1}}}
paper:
  big: {pre: 20.5}
stuck_within: 0.01
claims:
  - {says: the absurd fails, fails: absurd}
  - {says: seen elsewhere, trains: pre, at: [huge]}
  - {says: it grows, lower: [pre, variance_first], higher: [pre, variance_last]}
scales:
  tiny:
    about: seconds
    seeds: [1, 2]
    tokenizer: {type: bpe, vocab_size: 300, sample_bytes: 1000000}
    config:
      model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, vocab_size: 300}
      data: {mode: packed, sequence_length: 16, validation_tokens: 500}
      train: {max_steps: 60, global_batch_size: 8, precision: fp32, threads: 1}
      optimizer: {lr: 3.0e-3}
      lr_scheduler: {warmup_steps: 5}
      checkpoint: {interval: 5, keep_last: 1}
      log: {interval: 5, tensorboard: false}
    columns:
      tiny: {beside: big}
"""
PLAN = PLAN.replace("  big: {pre: 20.5}", "  big: {pre: 20.5}\n  huge: {pre: 10.5}")


# Stands for train-llm: trains ten steps, then stops the table that called it, and says when it is told to stop itself.
STAND_IN = """#!/usr/bin/env bash
if [ "$1" = train ] && [ ! -e "$0.was-here" ]; then
  touch "$0.was-here"
  TRAIN_LLM "$@" --stop-after 10 || exit
  trap 'touch "$0.told"; exit 143' TERM
  kill -SIGNAL $PPID
  for ((i = 0; i < 6000; ++i)); do sleep 0.01; done
fi
exec TRAIN_LLM "$@"
"""


class Table(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.small = Runs(OPTIONS.train_llm, cls.folder)
        (cls.folder / "plan.yaml").write_text(PLAN)
        cls.first = cls.run_table("straight")
        assert cls.first.returncode == 0, cls.first.stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def command(cls, out, *words):
        return [sys.executable, SCRIPTS / "run_table.py", cls.folder / "plan.yaml", "--scale", "tiny", "--text",
                cls.small.text, "--out", cls.folder / out, "--jobs", "2", "--train-llm", OPTIONS.train_llm.resolve(), *words]

    @classmethod
    def run_table(cls, out, *words):
        return subprocess.run(list(map(str, cls.command(out, *words))), capture_output=True, text=True, timeout=300)

    def results(self, out):
        """{(row, seed): result} of every folder of runs."""
        found = {}
        for path in sorted((self.folder / out / "runs").glob("*/result.json")):
            result = json.loads(path.read_text())
            found.setdefault((result["row"], result["seed"]), []).append(result)
        return found

    def test_every_row_and_seed_runs_and_a_diverged_row_is_a_result(self):
        results = {key: values[0] for key, values in self.results("straight").items()}
        self.assertEqual(set(results), {(row, seed) for row in ("pre", "absurd") for seed in (1, 2)})
        for seed in (1, 2):
            self.assertEqual(results["absurd", seed]["status"], "diverged")
            self.assertEqual(results["pre", seed]["status"], "done")
            self.assertEqual(len(results["pre", seed]["variance"]), 2)
        self.assertNotEqual(results["pre", 1]["loss"], results["pre", 2]["loss"])

    def test_the_table_has_the_papers_number_ours_the_claims_and_the_variance(self):
        text = (self.folder / "straight" / "table.md").read_text()
        self.assertRegex(text, r"\| Pre-LN \| 20\.5 \| [\d.]+ \u00b1 [\d.]+ \|")
        self.assertIn("| Absurd |  | not finite | not finite |", text)
        self.assertIn("BIG (another size)", text)
        self.assertIn("| the absurd fails | held | 2 of 2 failed |", text)
        self.assertIn("| seen elsewhere | not tested | the paper shows it at huge |", text)
        self.assertIn("| layer | Pre-LN |", text)
        losses = [result["loss"] for key, (result,) in self.results("straight").items() if key[0] == "pre"]
        read = lambda name: list(csv.DictReader((self.folder / "straight" / name).read_text().splitlines()))
        rows = read("table.csv")
        self.assertEqual([row["row"] for row in rows], ["pre", "absurd"])
        self.assertAlmostEqual(float(rows[0]["loss_mean"]), sum(losses) / 2)
        self.assertEqual(rows[1]["failed"], "2")
        self.assertEqual(len(read("runs.csv")), 4)

    def test_what_is_finished_is_not_run_again(self):
        times = {path: path.stat().st_mtime_ns for path in (self.folder / "straight" / "runs").glob("*/*")}
        again = self.run_table("straight")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("0 of 4 runs are to do", again.stdout)
        self.assertEqual(times, {path: path.stat().st_mtime_ns for path in times})

    def stopped_at_step_10(self, out, number):
        """A table of one run that gets a signal when its training has saved step 10, and passed it on."""
        stand_in = self.folder / f"train-llm-{number}"
        words = {"TRAIN_LLM": str(OPTIONS.train_llm.resolve()), "SIGNAL": str(int(number))}
        text = STAND_IN
        for name, value in words.items():
            text = text.replace(name, value)
        stand_in.write_text(text)
        stand_in.chmod(0o755)
        stopped = self.run_table(out, "--rows", "pre", "--seeds", "1", "--jobs", "1", "--train-llm", stand_in)
        told = stand_in.with_name(stand_in.name + ".told")
        deadline = time.monotonic() + 60
        while not told.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertTrue(told.exists(), "the training went on without its table")
        return stopped

    def test_it_goes_on_after_a_kill_to_the_same_numbers(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            out = f"stopped-{number}"
            stopped = self.stopped_at_step_10(out, number)
            self.assertEqual(stopped.returncode, -number if number == signal.SIGKILL else 128 + number, stopped.stderr)
            self.assertEqual(self.results(out), {})
            again = self.run_table(out, "--rows", "pre", "--seeds", "1")
            self.assertEqual(again.returncode, 0, again.stderr)
            (log,) = (self.folder / out / "runs").glob("*/train.log")
            self.assertIn("resumed", log.read_text())
            ((result,),) = self.results(out).values()
            self.assertEqual(result["loss"], self.results("straight")["pre", 1][0]["loss"])

    def test_other_data_or_another_config_is_another_run(self):
        self.run_table("changed", "--rows", "pre", "--seeds", "1")
        original = self.small.text.read_text()
        try:
            self.small.text.write_text(original.replace("wizards", "witches"))
            data = self.run_table("changed", "--rows", "pre", "--seeds", "1")
            self.assertIn("1 of 1 runs are to do", data.stdout, data.stderr)
        finally:
            self.small.text.write_text(original)
        config = self.run_table("changed", "--rows", "pre", "--seeds", "1", "--embedding-std", "0.632")
        self.assertIn("1 of 1 runs are to do", config.stdout, config.stderr)
        self.assertIn("start: 0.632", (self.folder / "changed" / "embedding-0.632" / "table.md").read_text())
        self.assertEqual(len(self.results("changed")["pre", 1]), 3)

    def test_a_dry_run_trains_nothing(self):
        dry = self.run_table("dry", "--dry-run")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        self.assertRegex(dry.stdout, r"4 of 4 runs are to do: 30,720 tokens, about [\d.]+ hours, 2 at a time")
        self.assertIn("disk: about", dry.stdout)
        self.assertFalse((self.folder / "dry" / "runs").exists())

    def test_a_failure_that_is_no_result_stops_with_train_llms_message_and_code(self):
        bad = self.run_table("bad", "--tokenizer", self.folder / "plan.yaml")
        self.assertEqual(bad.returncode, 3, bad.stderr)
        self.assertRegex(bad.stderr, r"\Arun_table: error: [^\n]+plan\.yaml[^\n]+\n\Z")
        rows = self.run_table("bad", "--rows", "pree")
        self.assertEqual((rows.returncode, "did you mean 'pre'" in rows.stderr), (2, True), rows.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
