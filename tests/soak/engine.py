"""Runs the tries of a fault campaign and tells what came of them."""

import json
import random
import shutil
import signal
import time
import traceback

import support


class Case:
    """A kind of fault. What a try does is decided by its number and a generator of random numbers, so that it can be
    repeated. A subclass has a docstring, which the table shows, and `attempt`."""

    def __init__(self, runs):
        self.runs = runs

    def attempt(self, number, generator):
        """@returns how many faults it brought about; raises where the program didn't keep what it promises."""
        raise NotImplementedError


class Campaign:
    """Tries of several cases, each with the same share of the time. Those that ended are kept in `folder`/tries.jsonl:
    a campaign that is started again with its seed goes on after them."""

    def __init__(self, folder, seed, scratch, make_runs):
        """@param scratch a folder, in which each case has one of its own; make_runs makes its Runs there"""
        self.folder, self.seed, self.scratch, self.make_runs = folder, seed, scratch, make_runs
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "tries.jsonl"
        self.tries = [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []
        self.ready, self.not_here = {}, {}

    def run(self, cases, minutes, most_tries):
        """@param cases Case classes by name; @param most_tries of each case, in this call"""
        end = time.monotonic() + 60 * minutes
        used, counts = dict.fromkeys(cases, 0.0), dict.fromkeys(cases, 0)
        while time.monotonic() < end:
            open_cases = [name for name in cases if name not in self.not_here and counts[name] < most_tries]
            if not open_cases:
                return
            name = min(open_cases, key=used.get)
            began = time.monotonic()
            self.attempt(cases[name], name, self.next_number(name))
            counts[name] += 1
            used[name] += time.monotonic() - began

    def next_number(self, name):
        return 1 + max((one["number"] for one in self.tries if one["case"] == name), default=0)

    def attempt(self, case, name, number):
        """One try, also of those that were done before."""
        began, faults, failure = time.monotonic(), 0, None
        try:
            if name not in self.ready:
                self.ready[name] = case(self.make_runs(self.scratch / name))
            faults = self.ready[name].attempt(number, random.Random(f"{self.seed}/{name}/{number}"))
        except support.NotHere as reason:
            self.not_here[name] = str(reason)
            return
        except Exception as error:  # whatever it is, the other cases go on
            failure = f"{type(error).__name__}: {error}"[:2000]
            kept = self.folder / f"{name}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.scratch / name, kept, ignore=shutil.ignore_patterns("disk"))
            print(f"FAILED {name}:{number}; its files are in {kept}", flush=True)
            traceback.print_exc()
        one = {"case": name, "number": number, "faults": faults, "failure": failure,
               "seconds": round(time.monotonic() - began, 2)}
        self.tries = [other for other in self.tries if (other["case"], other["number"]) != (name, number)] + [one]
        new = self.journal.with_suffix(".tmp")
        new.write_text("".join(json.dumps(other) + "\n" for other in self.tries))
        new.replace(self.journal)

    def failures(self):
        return [one for one in self.tries if one["failure"]]

    def table(self):
        """Markdown: a row for each case that was tried."""
        rows = ["| case | tries | faults | failures | seconds |", "|---|---:|---:|---:|---:|"]
        for name in dict.fromkeys(one["case"] for one in self.tries):
            tries = [one for one in self.tries if one["case"] == name]
            rows.append(f"| {name} | {len(tries)} | {sum(one['faults'] for one in tries)} | "
                        f"{sum(one['failure'] is not None for one in tries)} | {sum(one['seconds'] for one in tries):.0f} |")
        rows += [f"| {name} | not tried: {reason} | | | |" for name, reason in self.not_here.items()]
        return "\n".join(rows)


def stop_at_signals():
    """SIGTERM ends a campaign as Ctrl-C does: with its table."""
    def stop(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, stop)
