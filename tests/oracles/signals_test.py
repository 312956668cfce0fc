"""What a run does when it is asked to stop or to save, what it says then, and that the same run goes on."""

import re
import shlex
import signal
import subprocess
import sys
import tempfile
import pathlib
import time

import support
from ranks import Ranks
from runs import Runs

options = support.arguments(__doc__)
# Steps of several seconds, of micro-batches that take a moment each.
SLOW = ["train.max_steps=3", "train.global_batch_size=128", "train.micro_batch_size=1", "data.sequence_length=128",
        "model.hidden_size=64", "model.intermediate_size=176", "checkpoint.interval=0", "eval.interval=0"]
ANSWER = "saving after this step; again to end at once without saving"


def start(runs, out, *keys, flags=(), **keywords):
    return subprocess.Popen(list(map(str, [runs.train_llm, *runs.train_arguments(out, *keys), *flags])), cwd=runs.folder,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **keywords)


def wait_for(process, beginning):
    seen = ""
    for line in process.stderr:
        seen += line
        if line.startswith(beginning):
            return
    raise AssertionError(f"it ended with {process.wait()} before it printed {beginning!r}: {seen}")


def last_line(message):
    return message.rstrip("\n").splitlines()[-1]


def stopped_at(line, number):
    """The step that a run stopped at; which it is, the load of the machine has a say in."""
    found = re.fullmatch(rf"train-llm: stopped by {number.name} at step ([12]) of 3, train/loss .*", line)
    assert found, line
    return int(found[1])


def command_of(line):
    """The command that a run's last line ends with."""
    return line[line.rindex(": /") + 2:]


def stops_within_a_step(runs):
    """The step in flight is dropped between micro-batches, and the run is the same when it goes on."""
    runs.check(*runs.train_arguments("straight", *SLOW))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        out = f"within {number.name}"
        process = start(runs, out, *SLOW)
        wait_for(process, "step 1/")
        process.send_signal(number)
        message = process.communicate()[1]
        assert process.returncode == 128 + number, (number, process.returncode, message)
        line = last_line(message)
        step = stopped_at(line, number)
        assert ANSWER in message and f"step {step + 1}/" not in message, message
        checkpoint = runs.checkpoint(out, step)
        assert checkpoint.is_dir() and str(checkpoint.relative_to(runs.folder)) in line, line
        subprocess.run(["sh", "-c", command_of(line)], cwd=runs.folder, check=True, capture_output=True)
        assert runs.losses(out) == runs.losses("straight"), number
        assert runs.weights(out, 3) == runs.weights("straight", 3), number


def stops_before_it_trains(runs):
    text = runs.folder / "long.txt"
    text.write_text(runs.text.read_text() * 2000)
    process = subprocess.Popen([runs.train_llm, "train", "smoke", f"data.train={text}", f"data.tokenizer={runs.tokenizer}",
                                "train.out_dir=early"], cwd=runs.folder, stderr=subprocess.PIPE, text=True)
    while not list((runs.folder / "cache").glob("*.tokens.tmp-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    message = process.communicate()[1]
    assert process.returncode == 130 and "stopping; again to end at once" in message, (process.returncode, message)
    assert "stopped by SIGINT before training began; start again: " in last_line(message), message
    assert not list((runs.folder / "cache").glob("*.tmp-*"))
    text.unlink()


def a_second_ctrl_c_ends_at_once(runs):
    """One micro-batch that takes far longer than this test waits."""
    process = start(runs, "again", "train.global_batch_size=4096", "train.micro_batch_size=4096", "data.sequence_length=256",
                    "model.hidden_size=128", "checkpoint.interval=0")
    wait_for(process, "training")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    wait_for(process, f"train-llm: {ANSWER}")
    time.sleep(1.1)  # within a second they are one request
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert not (runs.folder / "again" / "checkpoints").exists()


def ctrl_c_in_the_last_evaluation_keeps_the_model(runs):
    # From a checkpoint behind the first evaluation only the last one is left.
    keys = [f"data.validation={runs.text}", "data.sequence_length=4", "eval.interval=0", "checkpoint.interval=0"]
    runs.check(*runs.train_arguments("last", *keys), "--stop-after", 19)
    process = start(runs, "last", *keys, "data.validation_tokens=100000000")
    wait_for(process, "step 20/")
    process.send_signal(signal.SIGINT)
    message = process.communicate()[1]
    assert process.returncode == 130 and runs.checkpoint("last", 20).is_dir(), (process.returncode, message)


def nohup_is_respected(runs):
    process = start(runs, "nohup", *SLOW, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(process, "step 1/")
    process.send_signal(signal.SIGHUP)
    message = process.communicate()[1]
    assert process.returncode == 0 and "finished: step 3 of 3" in last_line(message), (process.returncode, message)


def sigusr1_saves_and_goes_on(runs):
    keys = ["checkpoint.on_sigusr1=continue", *SLOW]
    process = start(runs, "usr1", *keys)
    wait_for(process, "step 1/")
    process.send_signal(signal.SIGUSR1)
    message = process.communicate()[1]
    assert process.returncode == 0 and ANSWER not in message, (process.returncode, message)
    saved = [record["step"] for record in runs.metrics("usr1") if record["event"] == "checkpoint"]
    assert saved in ([1, 3], [2, 3], [3]), saved  # the load of the machine has a say in it
    assert runs.weights("usr1", 3) == runs.weights("straight", 3)


def verify_resume_passes_signals_on(runs):
    """It ends as the run in it does, which has ended before, and leaves nothing."""
    words = [runs.train_llm, "verify-resume", *runs.train_arguments("verify", *SLOW)[1:]]
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(list(map(str, words)), cwd=runs.folder, stderr=subprocess.PIPE, text=True)
        wait_for(process, "step 1/")
        process.send_signal(number)
        message = process.communicate()[1]  # to the end of what the run in it writes
        assert process.returncode == 128 + number, (process.returncode, message)
        assert last_line(message) == f"train-llm: stopped by {number.name}", message
        assert f"stopped by {number.name} at step" in message, message
        assert not (runs.folder / "verify" / "verify-resume").exists()


def ranks_agree(runs):
    keys = [*SLOW, "train.threads=1", "train.max_steps=3"]

    def train(out, *more):
        return Ranks(runs, [[runs.train_llm, *runs.train_arguments(out, *keys, *more)]] * 2)

    with train("two") as ranks:
        assert [code for code, _ in ranks.ends([0, 1], within=300)] == [0, 0]
    with train("two stopped") as ranks:
        ranks.wait_for("step 1/")
        ranks.processes[1].send_signal(signal.SIGHUP)
        (code, message), (other, said) = ranks.ends([0, 1], within=300)
        assert code == other == 129, (code, other, message, said)
        step = stopped_at(last_line(message), signal.SIGHUP)
        assert "in 2 processes" in last_line(message), message
        assert said == "", said
    assert runs.checkpoint("two stopped", step).is_dir()
    with train("two stopped", "checkpoint.on_sigusr1=continue") as ranks:
        ranks.wait_for(f"step {step + 1}/")
        ranks.processes[1].send_signal(signal.SIGUSR1)
        assert [code for code, _ in ranks.ends([0, 1], within=300)] == [0, 0]
    assert runs.weights("two stopped", 3) == runs.weights("two", 3)
    saved = [record["step"] for record in runs.metrics("two stopped") if record["event"] == "checkpoint"]
    assert saved[0] == step and saved[-1] == 3, saved


def says_how_it_ended(runs):
    out = "it's a $HOME; run"
    result = runs.check(*runs.train_arguments(out, "checkpoint.interval=0"), "--stop-after", 5, "--resume=never")
    line = last_line(result.stderr)
    assert line.startswith("stopped after step 5 of 20, train/loss ") and "step-00000005" in line, line
    command = command_of(line)
    words = shlex.split(command)
    assert f"train.out_dir={out}" in words and not [word for word in words if word.startswith("--")], command
    result = subprocess.run(["sh", "-c", command], cwd=runs.folder, check=True, capture_output=True, text=True)
    assert "resumed" in result.stderr, result.stderr
    line = last_line(result.stderr)
    loss = runs.losses(out)[-1][1]
    assert re.match(r"finished: step 20 of 20, train/loss ([\d.]+); the model is in ", line), line
    assert abs(float(line.split("train/loss ")[1].split(";")[0]) - loss) < 1e-3, (line, loss)
    generate = line[line.index("try it: ") + len("try it: "):]
    subprocess.run(["sh", "-c", f"{generate} --max-new-tokens 2"], cwd=runs.folder, check=True, capture_output=True)


def says_that_it_is_finished_and_what_more_steps_do(runs):
    """The rates are those of the cosine from 1e-2 to a tenth of it, by its formula."""
    from math import cos, pi
    rate = lambda step, steps: 1e-2 * (0.1 + 0.9 * 0.5 * (1 + cos(pi * (step - 2) / (steps - 2))))
    runs.check(*runs.train_arguments("done"))
    before = runs.weights("done", 20)
    records = len(runs.metrics("done"))
    result = runs.check(*runs.train_arguments("done"))
    line = last_line(result.stderr)
    assert line.startswith("nothing is left to train: the run finished at step 20 of 20"), line
    assert f"gives step 21 the lr {rate(21, 40):.4g}"[:-1] in line and "step 20 had 0.001" in line, line
    assert runs.weights("done", 20) == before and len(runs.metrics("done")) == records
    command = command_of(line)
    assert command.endswith("train.max_steps=40"), line
    result = subprocess.run(["sh", "-c", command], cwd=runs.folder, check=True, capture_output=True, text=True)
    said = re.search(r"learning rate of step 20 was ([\d.e-]+); by the schedule of now it is ([\d.e-]+), and step 21 has ([\d.e-]+)",
                     result.stderr)
    assert said, result.stderr
    for value, expected in zip(said.groups(), (rate(20, 20), rate(20, 40), rate(21, 40))):
        assert abs(float(value) - expected) < 1e-9, (said.groups(), expected)
    trained = [r["train/lr"] for r in runs.metrics("done") if r["event"] == "train" and r["step"] == 21]
    assert abs(trained[0] - rate(21, 40)) < 1e-9, trained


def says_what_is_left_when_it_diverged(runs):
    result = runs.run(*runs.train_arguments("diverged", "optimizer.lr=1000", "lr_scheduler.warmup_steps=15",
                                            "train.max_steps=2000", "checkpoint.interval=1", "optimizer.weight_decay=1000"))
    assert result.returncode == 5, result
    line = last_line(result.stderr)
    step = int(re.search("isn't finite.* stopped with the weights of step ([0-9]+)", line)[1])
    newest = max((runs.folder / "diverged" / "checkpoints").glob("step-*"))
    where = "the model is in" if newest == runs.checkpoint("diverged", step) else "the newest checkpoint is"
    assert f"{where} {newest.relative_to(runs.folder)};" in line, line
    assert command_of(line).endswith("optimizer.lr=500"), line


with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    for check in (stops_within_a_step, stops_before_it_trains, a_second_ctrl_c_ends_at_once,
                  ctrl_c_in_the_last_evaluation_keeps_the_model, nohup_is_respected, sigusr1_saves_and_goes_on, verify_resume_passes_signals_on,
                  ranks_agree, says_how_it_ended, says_that_it_is_finished_and_what_more_steps_do,
                  says_what_is_left_when_it_diverged):
        check(small)
        print(check.__name__, file=sys.stderr)
