"""A run that is killed or stopped is the same run."""

import itertools
import shutil
import signal
import time

import engine

STEPS = 120
KEYS = [f"train.max_steps={STEPS}", "checkpoint.interval=7", "eval.interval=10", "log.interval=1"]
PRECISIONS = ("fp32", "bf16_mixed", "bf16")
GENTLE = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Kills(engine.Case):
    """kill -9 (and SIGTERM, SIGINT, SIGHUP) at random times, some in the start and some in a save; resumed until it is done:
    losses, evaluations and weights are those of a run that nothing happened to, bit for bit, in fp32 and bf16"""

    def __init__(self, runs):
        super().__init__(runs)
        self.straight_runs = set()  # what nothing happened to, by precision

    def start(self, out, precision):
        runs = self.runs
        return runs.start(*runs.train_arguments(out, *KEYS, f"data.validation={runs.text}",
                                                f"train.precision={precision}"))

    def straight(self, precision):
        name = f"straight_{precision}"
        if name not in self.straight_runs:
            process = self.start(name, precision)
            message = process.communicate(timeout=600)[1]
            assert process.returncode == 0, message
            self.straight_runs.add(name)
        return name

    def attempt(self, number, generator):
        precision = PRECISIONS[number % len(PRECISIONS)]
        straight, faults = self.straight(precision), 0
        shutil.rmtree(self.runs.folder / "killed", ignore_errors=True)
        for _ in range(generator.randint(1, 8)):
            sent = generator.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, *GENTLE))
            process = self.start("killed", precision)
            if generator.random() < 0.3:  # in the start
                message = ""
                time.sleep(generator.uniform(0.0, 1.0))
            else:  # after some lines of its output, so that a busy machine gets as far; then somewhere in a step
                message = "".join(itertools.islice(process.stderr, generator.randrange(STEPS // 2)))
                time.sleep(generator.uniform(0.0, 0.02))
            running = process.poll() is None
            process.send_signal(sent)
            message += process.communicate(timeout=600)[1]
            # A signal may come before the program has a handler, or when it is done.
            assert process.returncode in (0, -sent, 128 + sent), (process.returncode, message)
            faults += running
        message = self.start("killed", precision).communicate(timeout=600)[1]
        self.runs.assert_same_run("killed", straight, STEPS)
        return faults
