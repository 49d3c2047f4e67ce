"""Measures descartes beside its peers.  bench/compare.sh starts it, with a
server to do it in, and has the description of the options.

For each data set: every engine loads it and builds its index.  The search
widths of an engine's sweep are chosen by recall, in fine steps about the
targets.  Then the engines take turns, width by width, round by round; the best
round of each width counts.  The fastest width at each recall, and the default,
are then looked at query by query, and through a client.
"""
import os
import tempfile
from itertools import zip_longest
from time import perf_counter

from compare_engines import (BUILD_SETTINGS, ENGINES, SEARCH_SETTINGS,
                             SqlEngine, Unavailable, descartes)
from compare_report import (HIGH, TARGETS, at_default, at_recall,
                            check_targets, ratios, report, settings)
from datasets import Dataset, find_files
from measure import Results, parse, parser, say

# How far neighbours of a sweep may be apart in recall: across a target, and
# near the targets
ACROSS = {**dict.fromkeys(TARGETS, 0.002), HIGH: 0.0005}
NEAR = 0.01
GROWTH = 1.25
COARSE = 5                      # --quick: so many times as far


def choose_widths(recall_at, least, most, coarse):
    """The widths of a sweep, in order.

    First growing by a factor until the recall is high.  Then halving what
    lies between neighbours that are too far apart.
    """
    widths = [least]
    while recall_at(widths[-1]) < HIGH and widths[-1] < most:
        wider = int(widths[-1] * (1 + (GROWTH - 1) * min(coarse, 2)))
        widths.append(min(max(wider, widths[-1] + 1), most))

    def too_far(low, high):
        low, high = sorted((recall_at(low), recall_at(high)))
        for target, step in ACROSS.items():
            if low < target <= high and high - low > coarse * step:
                return True
        return high > TARGETS[0] - 0.02 and high - low > min(coarse, 3) * NEAR

    at = 0
    while at + 1 < len(widths):
        low, high = widths[at:at + 2]
        if high - low > 1 and too_far(low, high):
            widths.insert(at + 1, (low + high) // 2)
        else:
            at += 1
    return widths


def sweep(engine, dataset, coarse):
    """The engine's points, not timed yet."""
    recalls = {}

    def recall_at(width):
        if width not in recalls:
            recalls[width] = dataset.recall(engine.find(width))
        return recalls[width]

    widths = choose_widths(recall_at, *engine.widths(), coarse)
    points = [{"width": width, "recall": recall_at(width), "rounds": []}
              for width in widths if width != engine.default_width]
    if engine.default_width is not None:
        points.insert(0, {"width": engine.default_width, "default": True,
                          "recall": recall_at(engine.default_width),
                          "rounds": []})
    return points


def measure(engines, points, args):
    """Times all points, in turn.  Returns the best floor of each engine."""
    floors = {}
    for number in range(args.rounds):
        say(f"  round {number + 1} of {args.rounds}")
        for engine in filter(is_sql, engines):
            floors[engine.name] = max(engine.time_floor(args.seconds).qps,
                                      floors.get(engine.name, 0))
        for turn in zip_longest(*(points[e.name] for e in engines)):
            for engine, point in zip(engines, turn):
                if point:
                    point["rounds"].append(
                        engine.time(point["width"], args.seconds))
    for point in (p for some in points.values() for p in some):
        rounds = point["rounds"]
        best = max(rounds, key=lambda timing: timing.qps)
        point.update(
            qps=best.qps, wall_us=1e6 * best.wall / best.queries,
            cpu_us=None if best.cpu is None else 1e6 * best.cpu / best.queries,
            rounds=[timing.qps for timing in rounds])
    return floors


def is_sql(engine):
    return isinstance(engine, SqlEngine)


def probe(engine, figures, args):
    """Looks closer at the default and at each recall."""
    known = {}
    for at in settings(figures).values():
        width = at["width"]
        if width not in known:
            known[width] = engine.probe(width, args.seconds, at["qps"])
        at.update(known[width])


def measure_clients(engines, result, args):
    """Adds client QPS of the default and of each target, and the ceiling."""
    sql = list(filter(is_sql, engines))
    for number in range(args.rounds if sql else 0):
        say(f"  clients, round {number + 1} of {args.rounds}")
        ceiling = sql[0].client_ceiling(args.client)
        if ceiling is None:
            result["notes"].append("no client QPS: there is no pgbench")
            return
        result["client_ceiling_qps"] = max(
            ceiling, result["client_ceiling_qps"] or 0)
        for engine in sql:
            known = {}
            for name, at in settings(result["engines"][engine.name]).items():
                width = at["width"]
                if name == str(HIGH):
                    continue
                if width not in known:
                    known[width] = engine.client_qps(args.client, width)
                at["client_qps"] = max(known[width], at.get("client_qps", 0))


def take_part(engines, dataset, args):
    """The engines that could build their index, and why others could not."""
    ready, notes = [], []
    for engine in engines:
        try:
            started = perf_counter()
            engine.prepare(dataset, args)
            say(f"  {engine.name}: loaded and built in"
                f" {perf_counter() - started:.1f} s")
            ready.append(engine)
        except Unavailable as reason:
            notes.append(f"{engine.name} left out: {reason}")
            say("  " + notes[-1])
    return ready, notes


def figures_of(engine, points, floor):
    at = {str(t): at_recall(points, t) for t in (*TARGETS, HIGH)}
    return {**engine.describe(), "floor_qps": floor, "points": points,
            "at": at, "default": at_default(points, at[str(TARGETS[-1])])}


def compare(dataset, engines, args):
    """Everything about one data set."""
    points = {}
    say(f"\n{dataset}")
    try:
        ready, notes = take_part(engines, dataset, args)
        for engine in ready:
            points[engine.name] = sweep(engine, dataset, args.coarse)
            say(f"  {engine.name}: {len(points[engine.name])} widths")
        floors = measure(ready, points, args)
        result = {**dataset.describe(), "notes": notes, "engines": {
            e.name: figures_of(e, points[e.name], floors.get(e.name))
            for e in ready}, "client_ceiling_qps": None}
        say("  query by query")
        for engine in ready:
            probe(engine, result["engines"][engine.name], args)
        if args.client:
            measure_clients(ready, result, args)
    finally:
        for engine in engines:
            engine.close()
    result["ratios"] = ratios(result)
    result["targets"] = check_targets(result)
    return result


def make_engines(args):
    """All that were asked for, anew for each data set."""
    return ([ENGINES[name]() for name in args.engines.split(",")]
            + [descartes(options, options) for options in args.variant])


def parse_arguments():
    options = parser("compare")
    options.add_argument("--variant", action="append", default=[])
    options.add_argument("--client", type=int, metavar="SECONDS")
    args = parse(options, ENGINES,
                 {"rows": 10000, "queries": 200, "rounds": 1, "seconds": 0.1,
                  "client": 1},
                 {"rounds": 3, "seconds": 0.5, "client": 3})
    args.coarse = COARSE if args.quick else 1
    return args


def main():
    args = parse_arguments()
    files = find_files(args.files, args.sets)
    results = Results(args, "compare", search_settings=SEARCH_SETTINGS,
                      build_settings=BUILD_SETTINGS)
    with tempfile.TemporaryDirectory() as args.scratch:
        for file in files:
            result = compare(Dataset(file, args), make_engines(args), args)
            results.add(result, report(result))
        draw(results.path + ".json", args.scratch)


def draw(path, scratch):
    os.environ.setdefault("MPLCONFIGDIR", scratch)
    try:
        from compare_plot import plot
        plot(path)
    except ImportError:
        say("\nNo plot: that needs python3-matplotlib.")


if __name__ == "__main__":
    main()
