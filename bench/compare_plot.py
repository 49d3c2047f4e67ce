#!/usr/bin/python3
"""Draws the results of compare.py: queries per second over recall.

    compare_plot.py compare.json    writes compare.png and .svg beside it

One panel for each data set, one line for each engine, as ANN-Benchmarks does:
higher and farther right is better.  A ring marks an engine's default.  Needs
python3-matplotlib.
"""
import json
import os
import sys

import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot, ticker   # noqa: E402

LEAST_RECALL = 0.8
STYLES = {"descartes": ("#0b6e99", "o"), "pgvector": ("#c0392b", "s"),
          "hnswlib": ("#7f8c8d", "^"), "faiss": ("#b7950b", "v")}
SPARE_STYLES = [("#6c3483", "D"), ("#1e8449", "P"), ("#ca6f1e", "X")]


def frontier(points):
    """The points that no other beats in both recall and speed."""
    best = []
    for point in sorted(points, key=lambda p: (-p["recall"], -p["qps"])):
        if not best or point["qps"] > best[-1]["qps"]:
            best.append(point)
    return best[::-1]


def draw_set(axes, result, styles):
    for name, engine in result["engines"].items():
        points = [p for p in frontier(engine["points"])
                  if p["recall"] >= LEAST_RECALL]
        colour, marker = styles[name]
        axes.plot([p["recall"] for p in points], [p["qps"] for p in points],
                  color=colour, marker=marker, markersize=4, linewidth=1.5,
                  label=name)
        default = engine["default"]
        if default and default["recall"] >= LEAST_RECALL:
            axes.plot([default["recall"]], [default["qps"]], color=colour,
                      marker="o", markersize=10, markerfacecolor="none")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(
        lambda y, _: f"{y:,.0f}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlim(LEAST_RECALL, 1.002)
    axes.xaxis.set_major_locator(ticker.MultipleLocator(0.05))
    axes.xaxis.set_minor_locator(ticker.MultipleLocator(0.01))
    axes.grid(which="both", linewidth=0.3, alpha=0.6)
    axes.set_title(f"{result['name']}, {result['rows']:,} rows", fontsize=10)
    axes.set_xlabel(f"recall@{result['k']}")
    axes.set_ylabel("queries per second, one thread")
    axes.legend(fontsize=8)


def plot(path):
    with open(path, encoding="utf-8") as file:
        results = json.load(file)["sets"]
    names = list(dict.fromkeys(name for r in results for name in r["engines"]))
    spare = iter(SPARE_STYLES * len(names))
    styles = {name: STYLES.get(name) or next(spare) for name in names}
    columns = min(2, len(results))
    lines = -(-len(results) // columns)
    figure, panels = pyplot.subplots(
        lines, columns, squeeze=False, figsize=(5.5 * columns, 4.2 * lines))
    panels = panels.flatten()
    for axes, result in zip(panels, results):
        draw_set(axes, result, styles)
    for axes in panels[len(results):]:
        axes.remove()
    figure.tight_layout()
    for extension in ("png", "svg"):
        figure.savefig(f"{os.path.splitext(path)[0]}.{extension}", dpi=150)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    plot(sys.argv[1])
