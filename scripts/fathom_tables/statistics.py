"""Means and spreads over seeds. A run that diverged counts as infinite."""

import math


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    """Sample standard deviation; None for a single seed or a diverged one."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    middle = mean(values)
    return math.sqrt(sum((v - middle) ** 2 for v in values) / (len(values) - 1))


def deviation_of_difference(low, high):
    """Of the difference of one run of each: the root of both variances. A single seed adds nothing."""
    return math.sqrt(sum((deviation(values) or 0.0) ** 2 for values in (low, high)))


def number(value, digits=4):
    return f"{value:.{digits}g}" if math.isfinite(value) else "not finite"


def spread_text(values, digits=4):
    """mean +- standard deviation."""
    spread = deviation(values)
    return number(mean(values), digits) + ("" if spread is None else f" \u00b1 {spread:.2g}")
