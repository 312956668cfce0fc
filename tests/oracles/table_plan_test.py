"""Plans, claims and estimates of scripts/fathom_tables: by hand, and by what train-llm says of each config."""

import json
import pathlib
import sys
import tempfile
import unittest

import support

OPTIONS = support.arguments(__doc__)
support.require("yaml")
sys.path.insert(0, str(OPTIONS.configs.resolve().parent / "scripts"))
from fathom_tables import (TableError, claims, estimate, execution, plan as plans, program, resolved,  # noqa: E402
                           runs, statistics)

PLAN = """
title: Tiny table
source: nowhere
rows:
  pre: {title: Pre-LN, config: {model: {norm: {placement: pre}}}}
  absurd: {title: Absurd, config: {model: {norm: {placement: pre}}}}
paper:
  big: {pre: 20.5}
  huge: {pre: 10.5}
stuck_within: 0.01
claims:
  - {says: the absurd fails, fails: absurd}
  - {says: seen elsewhere, trains: pre, at: [huge]}
  - {says: it grows, lower: [pre, variance_first], higher: [pre, variance_last]}
scales:
  tiny:
    about: seconds
    seeds: [1, 2]
    config: {train: {max_steps: 7}}
    columns:
      tiny: {beside: big}
"""


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
        self.assertAlmostEqual(statistics.deviation([1.0, 2.0, 4.0]), (7 / 3) ** 0.5)
        self.assertIsNone(statistics.deviation([1.0]))


class Plans(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.train_llm = program.Program(OPTIONS.train_llm)

    def runs_of(self, path, scale, seeds=(1,)):
        plan = plans.load(path, scale)
        columns = list(plan.scale["columns"])
        return runs.plan_runs(self.train_llm, plan, list(plan.rows), columns, seeds, {}, None, self.folder)

    def test_every_run_of_the_shipped_tables_is_a_config_that_train_llm_takes(self):
        steps = {}
        for name, scales in {"table_1": ("nano", "small", "paper"), "placements": ("nano",)}.items():
            for scale in scales:
                for run in self.runs_of(OPTIONS.configs / "tables" / f"{name}.yaml", scale):
                    self.assertEqual(run.resolved.text("model.norm.placement"), run.row)
                    self.assertEqual(run.resolved.text("data.mode"), "documents" if scale == "paper" else "packed")
                    steps[run.column] = run.resolved.steps
        self.assertEqual({size: steps[size] for size in ("130m", "250m", "350m", "1b")},
                         {"130m": 20000, "250m": 40000, "350m": 60000, "1b": 100000})  # the paper's recipe

    def test_the_first_seed_is_the_papers_pair_and_the_others_count_on(self):
        planned = self.runs_of(OPTIONS.configs / "tables" / "table_1.yaml", "nano", seeds=(1, 2, 7))
        pairs = {run.seed: (run.config["train"]["seed"], run.config["data"]["shuffle_seed"]) for run in planned}
        self.assertEqual(pairs, {1: (1, 32), 2: (2, 33), 7: (7, 38)})
        self.assertEqual(len({run.folder for run in planned}), len(planned))

    def test_what_a_plan_leaves_out_is_what_train_llm_takes(self):
        """The schema, which editors read, has the defaults; a run without them knows the same."""
        (self.folder / "plan.yaml").write_text(PLAN)
        run = self.runs_of(self.folder / "plan.yaml", "tiny")[0]
        sections = json.loads(self.train_llm.run("schema"))["properties"]
        default = lambda section, key: sections[section]["properties"][key]["default"]
        rows = default("train", "global_batch_size")
        self.assertEqual(run.resolved.micro_batch_rows(), rows)
        self.assertEqual(run.resolved.tokens, 7 * rows * default("data", "sequence_length"))
        self.assertEqual(run.resolved.number("optimizer.lr"), default("optimizer", "lr"))
        self.assertIsNone(run.resolved.whole("train.threads"))

    def test_mistakes_are_named(self):
        cases = [("stuck_within: 0.01", "stuck_wihtin: 0.01", "did you mean 'stuck_within'"),
                 ("fails: absurd", "fails: absrd", "did you mean 'absurd'"),
                 ("at: [huge]", "at: [hug]", "allowed: big, huge"),
                 ("source: nowhere", "title: again", "'title' is there twice"),
                 ("[pre, variance_last]", "[pre, varience]", "allowed: loss")]
        path = self.folder / "plan.yaml"
        for right, wrong, message in cases:
            self.assertIn(right, PLAN)
            path.write_text(PLAN.replace(right, wrong))
            with self.assertRaises(TableError, msg=wrong) as caught:
                plans.load(path, "tiny")
            self.assertIn(message, str(caught.exception))


class Estimates(unittest.TestCase):
    def test_seconds_are_those_of_all_steps_however_the_last_record_falls(self):
        train = lambda step, milliseconds: {"event": "train", "step": step, "perf/step_ms": milliseconds}
        records = [train(10, 100), {"event": "eval", "step": 10}, train(20, 200), train(25, 400)]
        self.assertAlmostEqual(execution.training_seconds(records), 10 * 0.1 + 10 * 0.2 + 5 * 0.4)

    def test_disk_is_what_runs_keep_and_what_is_being_written(self):
        """Two checkpoints kept of 10 bytes each: 30 while another is written."""
        facts = resolved.Resolved({"disk_bytes": {"checkpoint": 10, "most_at_once": 30}})
        some = [runs.Run("c", "r", seed, {}, None, facts) for seed in (1, 2, 3)]
        self.assertEqual(estimate.checkpoint_bytes(some, jobs=2), 3 * 20 + 2 * 10)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
