"""scripts/run_table.py on a tiny plan: what it runs, skips, resumes and says; verdicts on claims, by hand."""

import csv
import fcntl
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
sys.path.insert(0, str(SCRIPTS))
from tables import TableError, claims, plan as plans, program  # noqa: E402

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


def done(loss, unigram=5.0, variance=(1.0, 2.0)):
    return {"status": "done", "loss": loss, "ppl": 2.0, "unigram_loss": unigram, "variance": list(variance)}


DIVERGED = {"status": "diverged", "step": 3, "unigram_loss": 5.0}


class Verdicts(unittest.TestCase):
    def verdict(self, claim, column="x", **results):
        return claims.verdict(claim, results, 0.1, column)[0]

    def test_lower_holds_only_beyond_the_spread_of_the_seeds(self):
        claim = {"lower": ["a", "loss"], "higher": ["b", "loss"]}
        runs = lambda *losses: [done(loss) for loss in losses]
        # Deviations 0.1 and 0.1: the spread of a difference is 0.141.
        self.assertEqual(self.verdict(claim, a=runs(1.9, 2.0, 2.1), b=runs(2.1, 2.2, 2.3)), "held")
        self.assertEqual(self.verdict(claim, a=runs(1.9, 2.0, 2.1), b=runs(2.03, 2.13, 2.23)), "not held")
        self.assertEqual(self.verdict(claim, b=runs(1.9, 2.0, 2.1), a=runs(2.1, 2.2, 2.3)), "not held")
        self.assertEqual(self.verdict(claim, a=runs(2.0), b=runs(2.1)), "held")
        self.assertEqual(self.verdict(claim, a=runs(2.0)), "not tested")

    def test_no_row_is_better_than_one_that_failed_to_train(self):
        claim = {"lower": ["a", "loss"], "higher": ["b", "loss"]}
        trained, stuck, mixed = [done(2.0), done(2.1)], [done(4.95), done(4.96)], [done(3.0), DIVERGED]
        for failed in (stuck, mixed, [DIVERGED, DIVERGED]):
            self.assertEqual(self.verdict(claim, a=trained, b=failed), "not tested")
            self.assertEqual(self.verdict(claim, a=failed, b=trained), "not held")
            self.assertEqual(self.verdict(claim, a=stuck, b=failed), "not tested")
        variance = {"lower": ["a", "variance_first"], "higher": ["a", "variance_last"]}
        self.assertEqual(self.verdict(variance, a=trained), "held")
        self.assertEqual(self.verdict(variance, a=stuck), "not tested")
        why = claims.verdict(claim, {"a": trained, "b": [*stuck, done(2.0)]}, 0.1, "x")[1]
        self.assertEqual(why, "b failed to train in 2 of 3 runs: 2.05 \u00b1 0.071 against 3.97 \u00b1 1.7")

    def test_the_last_layers_variance_is_a_measure(self):
        claim = {"lower": ["a", "variance_last"], "higher": ["b", "variance_last"]}
        self.assertEqual(self.verdict(claim, a=[done(1, variance=(9, 1))], b=[done(1, variance=(1, 9))]), "held")

    def test_fails_means_every_seed_at_the_unigram_loss_or_diverged(self):
        self.assertEqual(self.verdict({"fails": "a"}, a=[done(4.95), DIVERGED]), "held")
        self.assertEqual(self.verdict({"fails": "a"}, a=[done(4.95), done(4.85)]), "not held")
        self.assertEqual(self.verdict({"fails": "a"}, a=[done(None)]), "held")  # JSON's word for infinite
        self.assertEqual(self.verdict({"trains": "a"}, a=[done(4.85), done(2)]), "held")
        self.assertEqual(self.verdict({"trains": "a"}, a=[done(4.85), DIVERGED]), "not held")

    def test_what_the_paper_shows_elsewhere_is_not_tested(self):
        self.assertEqual(self.verdict({"trains": "a", "at": ["y"]}, a=[done(2)]), "not tested")
        self.assertEqual(self.verdict({"trains": "a", "at": ["x"]}, a=[done(2)]), "held")

    def test_the_spread_is_the_sample_deviation(self):
        self.assertAlmostEqual(claims.deviation([1.0, 2.0, 4.0]), (7 / 3) ** 0.5)
        self.assertIsNone(claims.deviation([1.0]))


class Plans(unittest.TestCase):
    def test_every_run_of_the_shipped_table_is_a_config_that_train_llm_takes(self):
        train_llm = program.Program(OPTIONS.train_llm)
        steps = {}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "run.json"
            for scale in ("nano", "small", "paper"):
                plan = plans.load(OPTIONS.configs / "tables" / "table_1.yaml", scale)
                for column in plan.scale["columns"]:
                    for row in plan.rows:
                        path.write_text(json.dumps(plan.config(column, row, 1)))
                        facts = train_llm.facts("plan", path)
                        self.assertEqual(facts["placement"], row)
                        mode = facts["config"]["data.mode"]["value"]
                        self.assertEqual(mode, "documents" if scale == "paper" else "packed")
                        steps[column] = facts["steps"]
        self.assertEqual({size: steps[size] for size in ("130m", "250m", "350m", "1b")},
                         {"130m": 20000, "250m": 40000, "350m": 60000, "1b": 100000})  # the paper's recipe

    def test_mistakes_are_named(self):
        cases = [("stuck_within: 0.01", "stuck_wihtin: 0.01", "did you mean 'stuck_within'"),
                 ("fails: absurd", "fails: absrd", "did you mean 'absurd'"),
                 ("at: [huge]", "at: [hug]", "allowed: big, huge"),
                 ("source: nowhere", "title: again", "'title' is there twice"),
                 ("[pre, variance_last]", "[pre, varience]", "allowed: loss")]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "plan.yaml"
            for right, wrong, message in cases:
                self.assertIn(right, PLAN)
                path.write_text(PLAN.replace(right, wrong))
                with self.assertRaises(TableError, msg=wrong) as caught:
                    plans.load(path, "tiny")
                self.assertIn(message, str(caught.exception))


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

    def killed_in_the_middle(self, out, number):
        """Kills a table after a first checkpoint; whether a training was left undone, which a busy machine may miss."""
        process = subprocess.Popen(list(map(str, self.command(out, "--rows", "pre"))), stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL)
        runs = self.folder / out / "runs"
        while process.poll() is None and not list(runs.glob("*/checkpoints/step-*")):
            time.sleep(0.002)
        process.send_signal(number)
        process.wait()
        for lock in runs.glob("*/run.lock"):  # its trainings got SIGTERM and save
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
        return len(self.results(out)) < 2

    def test_it_goes_on_after_a_kill_to_the_same_numbers(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            out = next(f"killed-{number}-{i}" for i in range(50) if self.killed_in_the_middle(f"killed-{number}-{i}", number))
            runs = self.folder / out / "runs"
            again = self.run_table(out, "--rows", "pre")
            self.assertEqual(again.returncode, 0, again.stderr)
            logs = "".join(path.read_text() for path in runs.glob("*/train.log"))
            self.assertIn("resumed", logs)
            for key, (result,) in self.results(out).items():
                self.assertEqual(result["loss"], self.results("straight")[key][0]["loss"], key)

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
