"""Whether each claim of the paper holds in our runs: by numbers, with the seeds' spread."""

import math

from fathom_tables.statistics import deviation_of_difference, mean, spread_text

HELD, NOT_HELD, NOT_TESTED = "held", "not held", "not tested"


def failed(result, stuck_within):
    """Whether a run learned nothing from context: its loss stopped being finite, or stayed at the unigram loss."""
    return value(result, "loss") > result["unigram_loss"] - stuck_within


def value(result, measure):
    """A measure of a run; infinite where the run diverged, or where the number is too large for JSON."""
    if result["status"] == "diverged":
        return math.inf
    if measure.startswith("variance_"):
        found = result["variance"][0 if measure == "variance_first" else -1]
    else:
        found = result[measure]
    return math.inf if found is None else found


def failures(row, results, stuck_within):
    """"mix failed to train in 2 of 3 runs"; "" when every seed trained."""
    runs = results[row]
    count = sum(failed(run, stuck_within) for run in runs)
    return f"{row} failed to train in {count} of {len(runs)} runs" if count else ""


def compare(claim, results, stuck_within):
    """lower < higher by more than the spread of such a difference, the root of both variances.

    Rows that failed to train say nothing of which is better: that they fail is a claim of its own. But a row that should
    have the lower loss, and fails where the other trains, doesn't hold."""
    (low_row, low_measure), (high_row, high_measure) = claim["lower"], claim["higher"]
    low = [value(result, low_measure) for result in results.get(low_row, [])]
    high = [value(result, high_measure) for result in results.get(high_row, [])]
    if not low or not high:
        return NOT_TESTED, "not run"
    figures = f"{spread_text(low)} against {spread_text(high)}"
    low_failed, high_failed = (failures(row, results, stuck_within) for row in (low_row, high_row))
    if low_failed or high_failed:
        contradicted = low_measure == high_measure == "loss" and not high_failed
        reasons = "; ".join(dict.fromkeys(filter(None, (low_failed, high_failed))))
        return (NOT_HELD if contradicted else NOT_TESTED), f"{reasons}: {figures}"
    spread = deviation_of_difference(low, high)
    gap = mean(high) - mean(low)
    if abs(gap) <= spread:
        return NOT_HELD, figures + ", within the seeds' spread"
    if len(low) == 1 or len(high) == 1:
        figures += ", one seed: its spread is unknown"
    return (HELD if gap > 0 else NOT_HELD), figures


def all_seeds(row, wanted, results, stuck_within):
    """Every seed fails, or none does."""
    runs = results.get(row, [])
    if not runs:
        return NOT_TESTED, "not run"
    count = sum(failed(run, stuck_within) for run in runs)
    return (HELD if count == (len(runs) if wanted else 0) else NOT_HELD), f"{count} of {len(runs)} failed"


def verdict(claim, results, stuck_within, paper_column):
    """(held, not held or not tested, why). results: {row: [result of each seed]} of one column."""
    if paper_column not in claim.get("at", [paper_column]):
        return NOT_TESTED, f"the paper shows it at {', '.join(claim['at'])}"
    if "lower" in claim:
        return compare(claim, results, stuck_within)
    wanted = "fails" in claim
    return all_seeds(claim["fails" if wanted else "trains"], wanted, results, stuck_within)
