"""What a run observes: probes and samples of text are what `diagnose` and `generate` give for its checkpoints, change nothing in
what is trained, and are recorded once at each step, whatever stops the run."""

import json
import pathlib
import shutil
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)
STEPS = 12
PROMPTS = ["the quick", ""]
KEYS = [f"train.max_steps={STEPS}", "checkpoint.interval=4", "checkpoint.keep_last=10", "eval.interval=4", "log.interval=1"]
SAMPLE = ["sample.interval=4", f"sample.prompts={json.dumps(PROMPTS)}", "sample.max_new_tokens=8", "sample.temperature=0"]
PROBE = 'probes=[{"name": "variance", "interval": 6, "tokens": 500}]'


def arguments(runs, out, *keys):
    return runs.train_arguments(out, *KEYS, f"data.validation={runs.text}", *keys)


def records(runs, out, event):
    return [record for record in runs.metrics(out) if record["event"] == event]


def change_nothing(runs):
    runs.check(*arguments(runs, "plain"))
    runs.check(*arguments(runs, "observed", *SAMPLE, PROBE))
    runs.assert_same_run("observed", "plain", STEPS)


def are_what_the_commands_give(runs):
    samples = records(runs, "observed", "sample")
    assert [(r["step"], r["prompt"]) for r in samples] == [(step, p) for step in (4, 8, 12) for p in PROMPTS], samples
    for record in samples:
        said = json.loads(runs.check("generate", runs.checkpoint("observed", record["step"]), "--prompt", record["prompt"],
                                     "--temperature", 0, "--max-new-tokens", 8, "--json").stdout)
        # Bytes that are no text: SentencePiece keeps those around them, a model directory's tokenizer doesn't.
        assert said["text"] == record["text"] or "\ufffd" in said["text"], (said, record)
    assert any("\ufffd" not in record["text"] for record in samples), samples
    probes = records(runs, "observed", "probe")
    assert [r["step"] for r in probes] == [0, 6, 12] and probes[0]["axes"] == ["layer"], probes
    said = json.loads(runs.check("diagnose", runs.checkpoint("observed", STEPS), "--text", runs.text, "--max-tokens", 500,
                                 "--probe", "variance", "--json").stdout)["probes"][0]
    assert said["tokens"] == probes[-1]["probe/targets"] == 500, (said, probes[-1])
    # The checkpoint's numbers are the run's; sums over other batches of rows round differently.
    for ours, theirs in zip(said["values"], probes[-1]["probe/variance"], strict=True):
        assert abs(ours - theirs) < 1e-6 * abs(theirs), (said, probes[-1])


def come_once_whatever_stops_the_run(runs):
    keys = [*SAMPLE, PROBE]
    runs.check(*arguments(runs, "stopped", *keys), "--stop-after", 8)
    # A run that goes on from the same checkpoint after it was killed writes step 8's records no second time.
    shutil.copytree(runs.folder / "stopped", runs.folder / "again")
    state = runs.checkpoint("again", 8) / "state.json"
    assert json.loads(state.read_text())["observers"] == {
        "eval": {"step": 8}, "probe/variance": {"step": 6}, "sample": {"step": 8}}, state.read_text()
    for out in ("stopped", "again"):
        runs.check(*arguments(runs, out, *keys))
        for event in ("eval", "probe", "sample", "train"):
            ours, straight = (
                [{k: v for k, v in r.items() if k != "time" and not k.startswith("perf/")} for r in records(runs, name, event)]
                for name in (out, "observed"))
            assert ours == straight, (out, event)


def are_read_from_a_file_and_refused_by_name(runs):
    config = runs.folder / "my.yaml"
    config.write_text(f"""extends: smoke
data: {{train: [{runs.text}], validation: [{runs.text}], tokenizer: {runs.tokenizer}}}
probes:
  - name: variance
    interval: 3
""")
    plan = json.loads(runs.check("plan", config, "--json").stdout)["config"]
    assert plan["probes.0.interval"]["value"] == "3", plan
    assert plan["probes.0.interval"]["origin"].endswith("my.yaml:5"), plan["probes.0.interval"]
    for change, expected in (
            ("    interval: 3\n", "    intervall: 3\n"), ("name: variance", "name: varianz"), ("interval: 3", "interval: 0"),
            ("probes:", "probes: {}\nold:"), ("  - name: variance\n    interval: 3", "  - variance"),
            ("    interval: 3\n", "    interval: 3\n  - name: variance\n")):
        wrong = runs.folder / "wrong.yaml"
        wrong.write_text(config.read_text().replace(change, expected))
        result = runs.run("plan", wrong)
        assert result.returncode == 2 and "wrong.yaml:" in result.stderr and "probes" in result.stderr, (expected, result)
    result = runs.run(*runs.train_arguments("none", "sample.interval=5"))
    assert result.returncode == 2 and "sample.prompts is empty" in result.stderr, result
    result = runs.run(*arguments(runs, "none", "sample.interval=5", 'sample.prompts=["a"]', "sample.max_new_tokens=100000"))
    assert result.returncode == 2 and "longest context" in result.stderr, result


def are_shown(runs):
    result = runs.check(*arguments(runs, "shown", *SAMPLE, PROBE))
    assert "step 4/12 sample: the quick" in result.stderr and "step 6/12 variance by layer " in result.stderr, result.stderr


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    for check in (change_nothing, are_what_the_commands_give, come_once_whatever_stops_the_run,
                  are_read_from_a_file_and_refused_by_name, are_shown):
        print(check.__name__, flush=True)
        check(small)
