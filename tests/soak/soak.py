"""A campaign of faults against train-llm: what it promises is tried as long as there is time.

Every try is decided by the seed, its case and its number. A campaign that was stopped goes on when it is started with its
seed again; --only CASE:NUMBER repeats one try.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "oracles"))

import engine  # noqa: E402  (needs the path above, as what follows)
from calls import FailingCalls, FullDisk, KillsBeforeCalls  # noqa: E402
from damage import DamagedCheckpoints, DamagedModels, DamagedTokenFiles  # noqa: E402
from kills import Kills  # noqa: E402
from limits import Limits  # noqa: E402
from losses import LostRanks  # noqa: E402
from runs import Runs  # noqa: E402
from seeds import FreshSeeds  # noqa: E402

CASES = {"kills": Kills, "kills-before-calls": KillsBeforeCalls, "failing-calls": FailingCalls, "full-disk": FullDisk,
         "damaged-checkpoints": DamagedCheckpoints, "damaged-models": DamagedModels,
         "damaged-token-files": DamagedTokenFiles, "lost-ranks": LostRanks, "limits": Limits, "fresh-seeds": FreshSeeds}


def arguments(given):
    width = max(map(len, CASES))
    cases = "\n".join(f"  {name:{width}}  {' '.join(case.__doc__.split())}" for name, case in CASES.items())
    parser = argparse.ArgumentParser(prog="scripts/soak.sh", description=__doc__, epilog=f"cases:\n{cases}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--tries", type=int, default=sys.maxsize, help="at most so many of each case")
    parser.add_argument("--seed", type=int, help="of an earlier campaign, to go on with it (default: a new one)")
    parser.add_argument("--only", metavar="CASE[:NUMBER]", action="append", default=[],
                        help="only this case, or one try of it; may be given again")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="folder with train-llm")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "soak",
                        help="where tries and the files of failed ones are kept")
    options = parser.parse_args(given)
    for only in options.only:
        name, _, number = only.partition(":")
        if name not in CASES or (number and not number.isdigit()):
            parser.error(f"--only is {only}; allowed: {', '.join(CASES)}, each with :NUMBER or without")
    if not (options.build / "train-llm").exists():
        parser.error(f"{options.build}/train-llm isn't there: scripts/build.sh makes it")
    return options


def main(given=None):
    """@returns 0, or 1 after a failure"""
    options = arguments(given)
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    print(f"soak: seed {seed}", flush=True)

    def make_runs(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return Runs(program, folder)

    began = time.monotonic()
    engine.stop_at_signals()
    with tempfile.TemporaryDirectory(prefix="fathom-soak-") as scratch:
        program = pathlib.Path(shutil.copy2(options.build / "train-llm", scratch))  # a build meanwhile changes nothing
        campaign = engine.Campaign(options.output / str(seed), seed, pathlib.Path(scratch), make_runs)
        try:
            for name, number in (only.split(":") for only in options.only if ":" in only):
                campaign.attempt(CASES[name], name, int(number))
            names = [only for only in options.only if ":" not in only] or ([] if options.only else list(CASES))
            campaign.run({name: CASES[name] for name in names}, options.minutes, options.tries)
        except KeyboardInterrupt:
            print(f"soak: stopped; --seed {seed} goes on", flush=True)
    print(campaign.table())
    for one in campaign.failures():
        print(f"FAILED {one['case']}:{one['number']}: {one['failure'].splitlines()[0]}\n"
              f"  again: scripts/soak.sh --seed {seed} --only {one['case']}:{one['number']}")
    print(f"soak: seed {seed}, {time.monotonic() - began:.0f} s, {len(campaign.failures())} failures")
    return int(bool(campaign.failures()))


if __name__ == "__main__":
    sys.exit(main())
