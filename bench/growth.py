"""Measures how the time and the memory of a build grow with the rows.
bench/growth.sh starts it, with a server to do it in, and has the description
of the options."""
from copy import copy
from math import log2

from compare_engines import BUILD_SETTINGS, ENGINES, Unavailable
from compare_report import BUILD_HEAD, build_cells
from datasets import Dataset, find_files
from measure import Results, parse, parser, say

SQL_ENGINES = "descartes", "pgvector"
PARTS = 8, 4, 2, 1              # of the rows
WANTED_GROWTH = 1.15


def build(name, dataset, args):
    """The figures of the fastest build."""
    best = None
    for _ in range(args.rounds):
        engine = ENGINES[name]()
        engine.build_settings |= build_settings(args)
        try:
            engine.prepare(dataset, args)
            recall = dataset.recall(engine.find(engine.default_width))
            figures = {"rows": len(dataset.train), "recall": recall,
                       **engine.describe()}
        finally:
            engine.close()
        if not best or figures["build_seconds"] < best["build_seconds"]:
            best = figures
    say(f"  {name}: {best['rows']:,} rows, {best['build_seconds']:.1f} s")
    return best


def build_settings(args):
    return {"maintenance_work_mem": args.memory,
            "max_parallel_maintenance_workers": str(args.workers),
            "max_parallel_workers": str(max(8, args.workers))}


def add_growth(builds):
    """Seconds over n log n, relative to those of the first."""
    costs = [b["build_seconds"] / (b["rows"] * log2(b["rows"]))
             for b in builds]
    for figures, cost in zip(builds, costs):
        figures["growth"] = cost / costs[0]


def measure(file, args):
    whole = Dataset(file, args)
    say(f"\n{whole}")
    result = {**whole.describe(), "notes": [], "engines": {},
              "build_settings": BUILD_SETTINGS | build_settings(args)}
    names = args.engines.split(",")
    builds = {name: [] for name in names}
    for part in PARTS:
        dataset = whole
        if part > 1:
            some = copy(args)
            some.rows = len(whole.train) // part
            dataset = Dataset(file, some)
        for name in list(builds):
            try:
                builds[name].append(build(name, dataset, args))
            except Unavailable as reason:
                result["notes"].append(f"{name} left out: {reason}")
                del builds[name]
    for name, some in builds.items():
        add_growth(some)
        result["engines"][name] = some
    mine = builds.get("descartes")
    result["met"] = mine and all(
        b["growth"] <= WANTED_GROWTH for b in mine)
    return result


def report(result):
    settings = result["build_settings"]
    lines = ["", f"{result['name']}: {result['dimensions']} dimensions,"
             f" {result['metric']}, maintenance_work_mem"
             f" {settings['maintenance_work_mem']}, workers beside the leader:"
             f" {settings['max_parallel_maintenance_workers']}", "",
             f"  {'':<12}{'rows':>10}{'time/n log n':>14}{BUILD_HEAD}"
             f"{'recall':>9}"]
    for name, builds in result["engines"].items():
        for figures in builds:
            lines.append(
                f"  {name:<12}{figures['rows']:10,}{figures['growth']:14.2f}"
                f"{build_cells(figures)}{figures['recall']:9.4f}")
    if result["met"] is not None:
        most = max(b["growth"]
                   for b in result["engines"]["descartes"][1:])
        lines += ["", f"  {'met' if result['met'] else 'MISSED':<9}"
                  f"time over n log n, the smallest's  {most:.2f}x"
                  f"  (wanted: <= {WANTED_GROWTH:.2f}x)"]
    notices = dict.fromkeys(
        f"{name}, {b['rows']:,} rows: {notice}"
        for name, builds in result["engines"].items() for b in builds
        for notice in b["notices"])
    lines += ["  note: " + note for note in (*result["notes"], *notices)]
    return "\n".join(lines)


def parse_arguments():
    options = parser("growth")
    options.add_argument("--memory",
                         default=BUILD_SETTINGS["maintenance_work_mem"])
    options.add_argument("--workers", type=int, default=int(
        BUILD_SETTINGS["max_parallel_maintenance_workers"]))
    return parse(options, SQL_ENGINES,
                 {"rows": 10000, "queries": 100, "rounds": 1},
                 {"queries": 200, "rounds": 1}, default=SQL_ENGINES[:1])


def main():
    args = parse_arguments()
    results = Results(args, "growth")
    for file in find_files(args.files, args.sets, "sift-128"):
        result = measure(file, args)
        results.add(result, report(result))


if __name__ == "__main__":
    main()
