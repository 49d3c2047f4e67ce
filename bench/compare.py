"""Measures descartes beside its peers.  bench/compare.sh starts it, with a
server to do it in, and has the description of the options.

For each data set: every engine loads it and builds its index.  The search
widths of an engine's sweep are chosen by recall, in fine steps about the
targets.  Then the engines take turns, width by width, round by round, after
the first round only with the widths on which the answers depend; the best
round of each width counts.  The fastest width at each recall, and the default,
are then looked at query by query, and through a client.
"""
import os
import tempfile
from itertools import zip_longest
from math import ceil
from time import perf_counter

from compare_engines import (BUILD_SETTINGS, CPUS, ENGINES, SEARCH_SETTINGS,
                             SqlEngine, Unavailable, descartes)
from compare_report import (HIGH, TARGETS, at_default, at_recall,
                            check_targets, ratios, report, settings)
from compare_sweep import COARSE, choose_widths, mark_those_that_matter
from datasets import Dataset, find_files
from measure import Results, parse, parser, say, stage

# A timed pass is over all queries where that takes no longer than --seconds,
# else over as many as that takes, but no fewer than these; those of the plot
# alone take a third of it; single queries, for the percentiles
LEAST_TIMED, LEAST_PLOTTED, LEAST_PROBED = 200, 100, 400
PLOTTED_SHARE = 1 / 3

def sweep(engine, dataset, coarse):
    """The engine's points, not timed yet."""
    found = {}

    def recall_at(width):
        if width not in found:
            started = perf_counter()
            ids = engine.find(width)
            found[width] = {
                "width": width, "rounds": [], "matters": False,
                "expected": (perf_counter() - started) * CPUS / len(ids)}
            found[width]["recall"] = dataset.recall(ids)
        return found[width]["recall"]

    widths = choose_widths(recall_at, *engine.widths(), coarse)
    points = [found[width] for width in widths
              if width != engine.default_width]
    if engine.default_width is not None:
        recall_at(engine.default_width)
        points.insert(0, {**found[engine.default_width], "default": True})
    mark_those_that_matter(points)
    return points


def some_queries(engine, expected, seconds, least):
    """How many queries a pass is over, if one takes so many seconds; if it
    would be nearly all, all.  Always the first: Dataset has them in an order
    of which any beginning will do."""
    some = max(ceil(seconds / expected), least)
    return some if some < 0.8 * engine.queries else engine.queries


def time_point(engine, point, seconds):
    """Times it once more, always over the same queries; the best counts."""
    least = LEAST_TIMED
    if not point["matters"]:
        seconds, least = seconds * PLOTTED_SHARE, LEAST_PLOTTED
    if seconds != point.get("seconds"):     # the first time, or it matters now
        point.update(seconds=seconds, rounds=[], queries=some_queries(
            engine, point["expected"], seconds, least))
    # Some of the queries take long enough
    timing = engine.time(
        point["width"], seconds if point["queries"] == engine.queries else 0,
        point["queries"])
    point["rounds"].append(timing.qps)
    if timing.qps == max(point["rounds"]):
        point.update(
            qps=timing.qps, wall_us=1e6 * timing.wall / timing.queries,
            cpu_us=timing.cpu and 1e6 * timing.cpu / timing.queries)


def measure(engines, points, args):
    """Times the points, in turn: the first time all, then those that matter.
    Returns the best floor of each engine."""
    floors = {}
    for number in range(args.rounds):
        turns = {name: [p for p in some if p["matters"] or not number]
                 for name, some in points.items()}
        say(f"  round {number + 1} of {args.rounds}:"
            f" {sum(map(len, turns.values()))} widths")
        for engine in filter(is_sql, engines):
            floors[engine.name] = max(engine.time_floor(args.seconds).qps,
                                      floors.get(engine.name, 0))
        for turn in zip_longest(*(turns[e.name] for e in engines)):
            for engine, point in zip(engines, turn):
                if point:
                    time_point(engine, point, args.seconds)
        for some in points.values():
            mark_those_that_matter(some)
    return floors


def is_sql(engine):
    return isinstance(engine, SqlEngine)


def probe(engine, figures, args):
    """Looks closer at the default and at each recall."""
    known = {}
    for at in settings(figures).values():
        width = at["width"]
        if width not in known:
            expected = 1 / at["qps"]
            queries = some_queries(engine, expected, args.seconds,
                                   LEAST_PROBED)
            known[width] = engine.probe(
                width, queries,
                ceil(args.seconds / expected / queries),
                some_queries(engine, expected, args.seconds, LEAST_TIMED))
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
    points, seconds = {}, {}
    say(f"\n{dataset}")
    try:
        with stage(seconds, "load and build"):
            ready, notes = take_part(engines, dataset, args)
        with stage(seconds, "sweep"):
            for engine in ready:
                points[engine.name] = sweep(engine, dataset, args.coarse)
                say(f"  {engine.name}: {len(points[engine.name])} widths")
        with stage(seconds, "rounds"):
            floors = measure(ready, points, args)
        result = {**dataset.describe(), "notes": notes, "engines": {
            e.name: figures_of(e, points[e.name], floors.get(e.name))
            for e in ready}, "client_ceiling_qps": None, "seconds": seconds}
        with stage(seconds, "query by query"):
            say("  query by query")
            for engine in ready:
                probe(engine, result["engines"][engine.name], args)
        with stage(seconds, "clients"):
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
                 {"rounds": 3, "seconds": 0.3, "client": 1})
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
