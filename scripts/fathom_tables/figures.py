"""Figures from a table's runs.csv, as SVG: the same data give the same file."""

import csv
import math

from fathom_tables import TableError, statistics

# Told apart by colour-blind eyes as well.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def read_variances(path):
    """{row: [[variance of each layer] of each seed]} of the runs of a runs.csv that were measured. @raises TableError"""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}") from error
    found = {}
    for line in lines:
        values = [float(value) for key, value in line.items() if key.startswith("variance_") and value]
        if values and all(map(math.isfinite, values)):
            found.setdefault(line["row"], []).append(values)
    if not found:
        raise TableError(f"{path} has no run with a variance of its layers")
    return found


def apart(values, gap):
    """The values, in their order, moved up where one comes closer than `gap` to the one below."""
    places, lowest = [0.0] * len(values), -math.inf
    for index in sorted(range(len(values)), key=lambda i: values[i]):
        places[index] = lowest = max(values[index], lowest + gap)
    return places


def draw_variance(variances, titles, path):
    """A line for each row, the mean of its seeds, and a faint one for each seed, over the layers."""
    import matplotlib  # only here: tables are written without it

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "fathom", "svg.fonttype": "none", "font.size": 11})
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(7, 3.8), layout="constrained")
    means = {row: [statistics.mean(values) for values in zip(*seeds)] for row, seeds in variances.items()}
    depth = max(map(len, means.values()))
    highest = max(max(values) for seeds in variances.values() for values in seeds)
    places = apart([values[-1] for values in means.values()], 0.06 * highest)
    for color, place, (row, seeds) in zip(COLORS, places, variances.items()):
        layers = range(1, len(seeds[0]) + 1)
        for values in seeds:
            axes.plot(layers, values, color=color, linewidth=1, alpha=0.3)
        axes.plot(layers, means[row], color=color, linewidth=2.4, gid=f"mean-{row}")
        axes.annotate(titles.get(row, row), (depth, place), xytext=(8, 0), textcoords="offset points", color=color,
                      verticalalignment="center", annotation_clip=False)
    axes.set(xlabel="layer", ylabel="variance of the layer's output", xlim=(1, depth), ylim=(0, 1.04 * highest))
    axes.xaxis.set_major_locator(ticker.FixedLocator([1, *range(4, depth + 1, 4)]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    pyplot.close(figure)
