"""Whether each claim of the paper holds in our runs: by numbers, with the seeds' spread."""

import math

HELD, NOT_HELD, NOT_TESTED = "held", "not held", "not tested"


def failed(result, stuck_within):
    """Whether a run learned nothing from context: its loss stopped being finite, or stayed at the unigram loss."""
    return result["status"] == "diverged" or result["loss"] > result["unigram_loss"] - stuck_within


def value(result, measure):
    """A measure of a run; infinite where the run diverged."""
    if result["status"] == "diverged":
        return math.inf
    if measure.startswith("variance_"):
        return result["variance"][0 if measure == "variance_first" else -1]
    return result[measure]


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    """Sample standard deviation; None for a single seed or a diverged one."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    middle = mean(values)
    return math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))


def number(value_, digits=4):
    return f"{value_:.{digits}g}" if math.isfinite(value_) else "diverged"


def spread_text(values, digits=4):
    """mean +- standard deviation."""
    spread = deviation(values)
    return number(mean(values), digits) + ("" if spread is None else f" \u00b1 {spread:.2g}")


def compare(claim, results):
    """lower < higher by more than the spread of such a difference, the root of both variances."""
    (low_row, low_measure), (high_row, high_measure) = claim["lower"], claim["higher"]
    low = [value(result, low_measure) for result in results.get(low_row, [])]
    high = [value(result, high_measure) for result in results.get(high_row, [])]
    if not low or not high:
        return NOT_TESTED, "not run"
    figures = f"{spread_text(low)} against {spread_text(high)}"
    if not math.isfinite(mean(low)):
        return NOT_HELD, figures
    spreads = (deviation(low), deviation(high))
    spread = math.sqrt(sum((s or 0.0) ** 2 for s in spreads))
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
        return compare(claim, results)
    wanted = "fails" in claim
    return all_seeds(claim["fails" if wanted else "trains"], wanted, results, stuck_within)
