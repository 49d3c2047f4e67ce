"""Measures descartes beside its peers.  bench/compare.sh starts it, with a
server to do it in, and has the description of the options.

For each data set: every engine loads it and builds its index.  The search
widths of an engine's sweep are chosen by recall, in fine steps about the
targets.  Then the engines take turns, width by width, round by round; the best
round of each width counts.  A returned row is right if its distance is at most
that of the true k-th, so ties count.
"""
import argparse
import glob
import json
import os
import platform
import signal
import sys
import tempfile
from itertools import zip_longest
from math import exp, log
from time import perf_counter, strftime

import h5py
import numpy as np

from compare_engines import (BUILD_SETTINGS, HNSW_EF_CONSTRUCTION, HNSW_M, K,
                             SEARCH_SETTINGS, HnswlibEngine, SqlEngine,
                             Unavailable)
from hdf5_to_pg import exact_neighbors, perturbed

TARGETS = (0.95, 0.99)
ENOUGH = 0.997                  # the recall at which a sweep ends
TOLERANCE = 1e-6                # of distances, relative
NOISE = "+noise"                # suffix of a set: values with full mantissas
NOISE_SEED = 1


class Dataset:
    """Vectors and queries of a file, and the true neighbours."""

    def __init__(self, spec, args):
        path = spec.removesuffix(NOISE)
        self.name = os.path.basename(spec).replace(".hdf5", "")
        with h5py.File(path, "r") as file:
            self.train = file["train"][:args.rows]
            self.test = file["test"][:args.queries]
            neighbors = file["neighbors"][:args.queries]
            distances = file["distances"][:args.queries]
            self.angular = file.attrs["distance"] == "angular"
            complete = len(file["train"]) == len(self.train)
        if path != spec:
            rng = np.random.default_rng(NOISE_SEED)
            self.train = perturbed(self.train, rng)
            self.test = perturbed(self.test, rng)
        if path != spec or not complete:
            neighbors, distances = exact_neighbors(
                self.train, self.test, self.angular, neighbors.shape[1])
        self.truth = neighbors, distances
        self.operator = "<=>" if self.angular else "<->"
        self.opclass = "vector_cosine_ops" if self.angular else "vector_l2_ops"
        # Measured as the answers will be: a file's may be of less precision
        self.farthest = np.max(self.distances(neighbors[:, :K]), axis=1)

    def distances(self, ids):
        """Of each query to the rows ids, in float64; infinite for id -1."""
        result = np.empty(ids.shape)
        for i, query in enumerate(self.test.astype(np.float64)):
            rows = self.train[ids[i]].astype(np.float64)
            if self.angular:
                result[i] = 1 - rows @ query / (np.linalg.norm(rows, axis=1)
                                                * np.linalg.norm(query))
            else:
                result[i] = np.linalg.norm(rows - query, axis=1)
        result[ids < 0] = np.inf
        return result

    def recall(self, ids):
        bound = self.farthest * (1 + TOLERANCE)
        return float(np.mean(self.distances(ids) <= bound[:, None]))

    def write_floats(self, path):
        """The rows, then the queries, of unit length where that is all the
        same to the metric."""
        with open(path, "wb") as file:
            for part in (self.train, self.test):
                part = part.astype(np.float32)
                if self.angular:
                    norms = np.linalg.norm(part, axis=1, keepdims=True)
                    part /= np.maximum(norms, 1e-30)
                part.tofile(file)


def choose_widths(recall_at, least, most, steps):
    """The widths of a sweep, in order.

    First growing by the factor steps["growth"] until recall is enough.  Then
    halving what lies between neighbours: where a target is in between, until
    recall differs by steps["target"]; near the targets, by steps["near"].
    """
    widths = [least]
    while recall_at(widths[-1]) < ENOUGH and widths[-1] < most:
        wider = int(widths[-1] * steps["growth"])
        widths.append(min(max(wider, widths[-1] + 1), most))

    def too_far(low, high):
        low, high = sorted((recall_at(low), recall_at(high)))
        if any(low < target <= high for target in TARGETS):
            return high - low > steps["target"]
        return high > TARGETS[0] - 0.02 and high - low > steps["near"]

    at = 0
    while at + 1 < len(widths):
        low, high = widths[at:at + 2]
        if high - low > 1 and too_far(low, high):
            widths.insert(at + 1, (low + high) // 2)
        else:
            at += 1
    return widths


def sweep(engine, dataset, steps):
    """The engine's points, not timed yet."""
    recalls = {}

    def recall_at(width):
        if width not in recalls:
            recalls[width] = dataset.recall(engine.find(width))
        return recalls[width]

    widths = choose_widths(recall_at, *engine.widths(), steps)
    if engine.default_width is not None:
        widths.insert(0, engine.default_width)
    return [{"width": width, "recall": recall_at(width), "rounds": []}
            for width in widths]


def measure(engines, points, args):
    """Times all points, in turn.  Returns the best floor of each engine."""
    floors = {}
    for number in range(args.rounds):
        say(f"  round {number + 1} of {args.rounds}")
        for engine in engines:
            timing = engine.time_floor(args.seconds)
            if timing:
                floors[engine.name] = max(timing.qps,
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


def measure_clients(engines, result, args):
    """Adds client QPS, of the fastest width at each target, and its floor."""
    for number in range(args.rounds):
        say(f"  clients, round {number + 1} of {args.rounds}")
        for engine in engines:
            figures = result["engines"][engine.name]
            for place in (figures, *filter(None, figures["at"].values())):
                qps = engine.client_qps(args.client, place.get("width"))
                if qps:
                    place["client_qps"] = max(qps, place.get("client_qps", 0))


def at_recall(points, target):
    """The fastest point that reaches the recall, and the speed at exactly
    that recall, between it and the best point that misses it.

    Without any that misses it the speed is a lower bound: no width is less.
    """
    reached = [p for p in points if p["recall"] >= target]
    if not reached:
        return None
    best = max(reached, key=lambda p: p["qps"])
    missed = [p for p in points if p["recall"] < target]
    result = {"width": best["width"], "recall": best["recall"],
              "qps": best["qps"], "cpu_us": best["cpu_us"],
              "interpolated_qps": best["qps"], "lower_bound": not missed}
    faster = [p for p in missed if p["qps"] > best["qps"]]
    if faster:
        near = max(faster, key=lambda p: (p["recall"], p["qps"]))
        share = (target - near["recall"]) / (best["recall"] - near["recall"])
        result["interpolated_qps"] = exp(
            log(near["qps"]) + share * log(best["qps"] / near["qps"]))
    return result


def ratios(result):
    """descartes over each other engine, in every figure of both."""
    mine = result["engines"].get("descartes")
    if not mine:
        return {}
    ratio = {}
    for name, other in result["engines"].items():
        if other is mine:
            continue
        ratio[name] = {
            figure: mine[figure] / other[figure]
            for figure in ("build_seconds", "index_bytes")}
        for target in map(str, TARGETS):
            both = mine["at"][target], other["at"][target]
            ratio[name][f"qps@{target}"] = (
                both[0]["qps"] / both[1]["qps"] if all(both) else None)
    return ratio


def compare(dataset, engines, args):
    """Everything about one data set."""
    taking_part, points, notes = [], {}, []
    rows, dim = dataset.train.shape
    say(f"\n{dataset.name}: {rows:,} rows, {len(dataset.test):,} queries,"
        f" {dim} dimensions, {'cosine' if dataset.angular else 'L2'}")
    try:
        for engine in engines:
            try:
                started = perf_counter()
                engine.prepare(dataset, args)
                say(f"  {engine.name}: loaded and built in"
                    f" {perf_counter() - started:.1f} s")
                taking_part.append(engine)
            except Unavailable as reason:
                notes.append(f"{engine.name} left out: {reason}")
                say("  " + notes[-1])
        for engine in taking_part:
            points[engine.name] = sweep(engine, dataset, args.steps)
            say(f"  {engine.name}: {len(points[engine.name])} widths")
        floors = measure(taking_part, points, args)
        result = {
            "name": dataset.name, "rows": rows, "queries": len(dataset.test),
            "dimensions": dim, "metric": dataset.operator, "k": K,
            "notes": notes,
            "engines": {e.name: {
                **e.describe(), "floor_qps": floors.get(e.name),
                "points": points[e.name],
                "at": {str(t): at_recall(points[e.name], t) for t in TARGETS},
            } for e in taking_part}}
        if args.client:
            measure_clients(taking_part, result, args)
    finally:
        for engine in engines:
            engine.close()
    result["ratios"] = ratios(result)
    return result


def number(value, form, none="-"):
    return none if value is None else format(value, form)


def summary_line(name, engine):
    cells = [f"  {name:<24}", f"{engine['build_seconds']:9.1f}",
             f"{engine['index_bytes'] / 2**20:9.1f}"]
    for target in map(str, TARGETS):
        at = engine["at"][target]
        cells += (["         -         -       -"] if not at else [
            f"{'>' if at['lower_bound'] else ''}{at['qps']:,.0f}".rjust(10)
            + f"{at['interpolated_qps']:10,.0f}{at['width']:8}"])
    cells += [number(engine["floor_qps"], ",.0f").rjust(11)]
    return "".join(cells)


def client_lines(result):
    lines = []
    for name, engine in result["engines"].items():
        if "client_qps" in engine:
            lines.append(f"  {name:<24}{'':18}" + "".join(
                number(at and at["client_qps"], ",.0f").rjust(10) + " " * 18
                for at in engine["at"].values())
                + f"{engine['client_qps']:11,.0f}")
    return lines and ["", "  through one client (pgbench, prepared)"] + lines


def report(result):
    """The tables of one data set, as text."""
    lines = [
        "",
        f"{result['name']}: {result['rows']:,} rows, {result['queries']:,}"
        f" queries, {result['dimensions']} dimensions, {result['metric']},"
        f" recall@{K}, QPS of one thread",
        "",
        f"  {'':<24}{'width':>7}{'recall':>9}{'QPS':>11}"
        f"{'wall us':>10}{'CPU us':>9}{'worst QPS':>11}"]
    for name, engine in result["engines"].items():
        for point in engine["points"]:
            lines.append(
                f"  {name:<24}{point['width'] or 'default':>7}"
                f"{point['recall']:9.4f}{point['qps']:11,.0f}"
                f"{point['wall_us']:10.1f}"
                f"{number(point['cpu_us'], '9.1f').rjust(9)}"
                f"{min(point['rounds']):11,.0f}")
    lines += ["", f"  {'':<24}{'build s':>9}{'index MB':>9}" + "".join(
        f"{f'QPS@{t}':>10}{'interp.':>10}{'width':>8}" for t in TARGETS)
        + f"{'floor QPS':>11}"]
    lines += [summary_line(name, engine)
              for name, engine in result["engines"].items()]
    for name, ratio in result["ratios"].items():
        lines.append(
            f"  {'/ ' + name:<24}{ratio['build_seconds']:9.2f}"
            f"{ratio['index_bytes']:9.2f}" + "".join(
                number(ratio[f"qps@{t}"], ".2f").rjust(10) + " " * 18
                for t in TARGETS))
    lines += client_lines(result)
    lines += ["  note: " + note for note in result["notes"] + [
        f"{name}: {notice}" for name, engine in result["engines"].items()
        for notice in engine["notices"]]]
    return "\n".join(lines)


def machine(args):
    """What the figures depend on, besides the data."""
    cpu = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    return {"date": strftime("%Y-%m-%d %H:%M:%S %z"), "cpu": cpu,
            "cpus": os.cpu_count(), "kernel": platform.release(),
            "load_average": os.getloadavg(), "revision": args.revision,
            "search_settings": SEARCH_SETTINGS,
            "build_settings": BUILD_SETTINGS, "rounds": args.rounds,
            "seconds": args.seconds}


def find_files(args):
    """The data sets that the arguments ask for, all of the folder else."""
    directory = os.environ.get("DESCARTES_DATA", "")
    there = sorted(glob.glob(os.path.join(directory, "*.hdf5"))
                   if directory else [])
    wanted = list(args.files)
    for name in filter(None, (args.sets or "").split(",")):
        plain = name.removesuffix(NOISE)
        found = [f for f in there if os.path.basename(f).startswith(plain)]
        if not found:
            sys.exit(f"compare: no data set {plain} in"
                     f" {directory or 'DESCARTES_DATA, which is not set'}")
        wanted += [f + name[len(plain):] for f in found]
    wanted = wanted or there
    if not wanted:
        sys.exit("compare: no data sets. Set DESCARTES_DATA to a folder of"
                 " HDF5 files, or name some, such as\n"
                 "https://ann-benchmarks.com/sift-128-euclidean.hdf5")
    for file in wanted:
        if not os.access(file.removesuffix(NOISE), os.R_OK):
            sys.exit(f"compare: cannot read {file.removesuffix(NOISE)}")
    return wanted


def make_engines(args):
    """All that were asked for, anew for each data set."""
    known = {
        "descartes": lambda: SqlEngine(
            "descartes", "descartes", "fng", "", "descartes.search_res_cnt",
            default_width=0),
        "pgvector": lambda: SqlEngine(
            "pgvector", "vector", "hnsw", f"WITH (m = {HNSW_M},"
            f" ef_construction = {HNSW_EF_CONSTRUCTION})", "hnsw.ef_search",
            least_width=K),
        "hnswlib": HnswlibEngine}
    engines = []
    for name in args.engines.split(","):
        if name not in known:
            sys.exit(f"compare: no engine {name}, only {', '.join(known)}")
        engines.append(known[name]())
    engines += [SqlEngine(options, "descartes", "fng", f"WITH ({options})",
                          "descartes.search_res_cnt", default_width=0)
                for options in args.variant]
    return engines


def say(text):
    print(text, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(usage="see bench/compare.sh --help")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--sets")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engines", default="descartes,pgvector,hnswlib")
    parser.add_argument("--variant", action="append", default=[])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--client", type=int, metavar="SECONDS")
    parser.add_argument("--storage",
                        choices=("plain", "main", "external", "extended"))
    parser.add_argument("--dsn", default="")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--output", default=".")
    parser.add_argument("--revision", default="")
    args = parser.parse_args()
    args.steps = {"growth": 1.25, "near": 0.01, "target": 0.002}
    if args.quick:
        args.steps = {"growth": 1.5, "near": 0.03, "target": 0.01}
        args.rows = args.rows or 10000
        args.queries = args.queries or 200
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (0.1 if args.quick else 0.5)
    return args


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    files = find_files(args)
    results = {"machine": machine(args), "sets": []}
    if os.getloadavg()[0] > 0.5:
        say("warning: this machine is not idle (load average"
            f" {os.getloadavg()[0]:.1f}): QPS and seconds below mean little")
    path = os.path.join(args.output, "compare.json")
    tables = []
    with tempfile.TemporaryDirectory() as args.scratch:
        for file in files:
            result = compare(Dataset(file, args), make_engines(args), args)
            results["sets"].append(result)
            tables.append(report(result))
            say(tables[-1])
            with open(path, "w", encoding="utf-8") as out:
                json.dump(results, out, indent=1)
            with open(os.path.join(args.output, "compare.txt"), "w",
                      encoding="utf-8") as out:
                print(*tables, sep="\n", file=out)
        draw(path, args.scratch)


def draw(path, scratch):
    os.environ.setdefault("MPLCONFIGDIR", scratch)
    try:
        from compare_plot import plot
        plot(path)
    except ImportError:
        say("\nNo plot: that needs python3-matplotlib.")


if __name__ == "__main__":
    main()
