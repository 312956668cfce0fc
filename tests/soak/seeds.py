"""The tests of the suite that take random numbers, with other numbers."""

import pathlib
import subprocess

import engine
import support

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "soak_tests.sh"
SEEDS = 20  # of a try


class FreshSeeds(engine.Case):
    """the tests of build/release that take random inputs, with fresh seeds (scripts/soak_tests.sh)"""

    def attempt(self, number, generator):
        if not SCRIPT.exists():
            raise support.NotHere(f"{SCRIPT} is missing")
        done = subprocess.run([SCRIPT, "--seeds", str(SEEDS), "--from", str(generator.randrange(1, 1 << 20))],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return SEEDS
