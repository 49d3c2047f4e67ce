"""What follows from the measurements of compare.py: the speed at a recall,
ratios between engines, the project's targets, and the tables of all that."""
from math import exp, log

from datasets import K
from measure import number

TARGETS = (0.95, 0.99)          # recall at which engines are compared
HIGH = 0.999                    # recall that some setting shall reach

# The targets: times pgvector's, times hnswlib's, ...
SERVER_TIMES_PGVECTOR, SERVER_TIMES_HNSWLIB = 5, 1
CLIENT_TIMES_PGVECTOR, CLIENT_SHARE = 3, 0.6
DEFAULT_RECALL, DEFAULT_SHARE = 0.99, 0.6
BUILD_TIMES_PGVECTOR = 1 / 3
BUILD_TIMES_HNSWLIB = 1         # an aim: how far from it is told
# ... and of index bytes, up to so many dimensions
BYTES_TIMES_PGVECTOR = ((128, 2.6), (512, 3.1), (948, 2.1),
                        (float("inf"), 1.1))


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


def at_default(points, best):
    """The point of the default width, and its share of the best speed at the
    recall that the defaults aim at."""
    for point in points:
        if point.get("default"):
            result = {name: point[name] for name in
                      ("width", "recall", "qps", "cpu_us")}
            result["share_of_best"] = best and point["qps"] / best["qps"]
            return result
    return None


def settings(engine):
    """The points of an engine that are looked at closer, with their names."""
    found = {"default": engine["default"], **engine["at"]}
    return {name: figures for name, figures in found.items() if figures}


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
        for target in map(str, (*TARGETS, HIGH)):
            both = mine["at"][target], other["at"][target]
            for figure in ("qps", "client_qps"):
                values = [at and at.get(figure) for at in both]
                ratio[name][f"{figure}@{target}"] = (
                    values[0] / values[1] if all(values) else None)
    return ratio


def client_target(result, target):
    """Client speed counts in one of two ways: a client has its own limit."""
    at = result["engines"]["descartes"]["at"][target]
    qps = at and at.get("client_qps")
    times = result["ratios"].get("pgvector", {}).get(f"client_qps@{target}")
    ceiling = result["client_ceiling_qps"]
    if not qps:
        return None
    return {"what": f"client QPS at {target}",
            "value": f"{number(times, '.1f', 0)}x pgvector's,"
                     f" {qps / ceiling:.0%} of the ceiling",
            "wanted": f">= {CLIENT_TIMES_PGVECTOR}x or {CLIENT_SHARE:.0%}",
            "met": (times or 0) >= CLIENT_TIMES_PGVECTOR
            or qps / ceiling >= CLIENT_SHARE}


def check_targets(result):
    """The project's targets as far as this run can tell."""
    mine = result["engines"].get("descartes")
    if not mine:
        return []
    checks = []

    def least(what, value, wanted, form=".2f", suffix=""):
        if value is not None:
            checks.append({
                "what": what, "value": format(value, form) + suffix,
                "wanted": f">= {format(wanted, form)}{suffix}",
                "met": value >= wanted})

    def most(what, value, wanted):
        if value is not None:
            checks.append({
                "what": what, "value": f"{value:.2f}x",
                "wanted": f"<= {wanted:.2f}x", "met": value <= wanted})

    pgvector = result["ratios"].get("pgvector", {})
    hnswlib = result["ratios"].get("hnswlib", {})
    for target in map(str, TARGETS):
        least(f"server QPS at {target}, pgvector's",
              pgvector.get(f"qps@{target}"), SERVER_TIMES_PGVECTOR, suffix="x")
        least(f"server QPS at {target}, hnswlib's",
              hnswlib.get(f"qps@{target}"), SERVER_TIMES_HNSWLIB, suffix="x")
        checks += filter(None, [client_target(result, target)])
    least("highest recall of the sweep",
          max(p["recall"] for p in mine["points"]), HIGH, ".4f")
    if mine["default"]:
        least("recall of the default", mine["default"]["recall"],
              DEFAULT_RECALL, ".4f")
        least(f"QPS of the default, best at {TARGETS[-1]}",
              mine["default"]["share_of_best"], DEFAULT_SHARE, suffix="x")
    most("index bytes, pgvector's", pgvector.get("index_bytes"), next(
        times for dimensions, times in BYTES_TIMES_PGVECTOR
        if result["dimensions"] <= dimensions))
    most("build time, pgvector's", pgvector.get("build_seconds"),
         BUILD_TIMES_PGVECTOR)
    if hnswlib:
        checks.append({"what": "build time, hnswlib's", "aim": True,
                       "value": f"{hnswlib['build_seconds']:.2f}x",
                       "wanted": f"<= {BUILD_TIMES_HNSWLIB:.2f}x",
                       "met": hnswlib["build_seconds"] <= BUILD_TIMES_HNSWLIB})
    return checks


def megabytes(size, width):
    return number(None if size is None else size / 2 ** 20, ".1f", width)


def sweep_lines(result):
    lines = [f"  {'':<24}{'width':>7}{'recall':>9}{'QPS':>11}"
             f"{'wall us':>10}{'CPU us':>9}{'worst QPS':>11}{'rounds':>8}"
             f"{'queries':>9}"]
    for name, engine in result["engines"].items():
        for point in engine["points"]:
            width = "default" if point.get("default") else point["width"]
            lines.append(
                f"  {name[:23]:<24}{width:>7}{point['recall']:9.4f}"
                f"{point['qps']:11,.0f}{point['wall_us']:10.1f}"
                f"{number(point['cpu_us'], '.1f', 9)}"
                f"{min(point['rounds']):11,.0f}{len(point['rounds']):8}"
                f"{point['queries']:9,}")
    return lines


BUILD_HEAD = (f"{'build s':>9}{'procs':>7}{'build MB':>10}{'temp MB':>9}"
              f"{'index MB':>10}")


def build_cells(engine):
    """What BUILD_HEAD says of an index."""
    workers = engine["build_workers"]
    return (f"{engine['build_seconds']:9.1f}"
            f"{number(workers if workers is None else workers + 1, '', 7)}"
            f"{megabytes(engine['build_peak_bytes'], 10)}"
            f"{megabytes(engine['build_temporary_bytes'], 9)}"
            f"{megabytes(engine['index_bytes'], 10)}")


def index_lines(result):
    """Sizes and builds; below, how many times another engine's ours are."""
    lines = [f"  {'':<24}{BUILD_HEAD}{'floor QPS':>11}"]
    for name, engine in result["engines"].items():
        lines.append(f"  {name[:23]:<24}{build_cells(engine)}"
                     f"{number(engine['floor_qps'], ',.0f', 11)}")
    for name, ratio in result["ratios"].items():
        lines.append(f"  {('/ ' + name)[:23]:<24}{ratio['build_seconds']:9.2f}"
                     f"{'':26}{ratio['index_bytes']:10.2f}")
    return lines


def setting_lines(result):
    """A line for each recall and engine."""
    lines = [f"  {'recall':<9}{'':<20}{'width':>6}{'recall':>8}{'QPS':>10}"
             f"{'interp.':>10}{'client':>9}{'p50 us':>8}{'p95 us':>8}"
             f"{'p99 us':>8}{'hops':>8}{'buffers':>9}"]
    for name in ("default", *map(str, (*TARGETS, HIGH))):
        for engine_name, engine in result["engines"].items():
            at = settings(engine).get(name)
            if not at and name == "default":
                continue
            head = f"  {name:<9}{engine_name[:20]:<20}"
            if not at:
                best = max(p["recall"] for p in engine["points"])
                lines.append(f"{head}  not reached: {best:.4f} at most")
                continue
            bound = ">" if at.get("lower_bound") else ""
            qps = f"{bound}{at['qps']:,.0f}"
            buffers = (None if at["index_buffers"] is None
                       else at["index_buffers"] + at["table_buffers"])
            lines.append(
                f"{head}{at['width']:6}{at['recall']:8.4f}{qps:>10}"
                f"{number(at.get('interpolated_qps'), ',.0f', 10)}"
                f"{number(at.get('client_qps'), ',.0f', 9)}"
                + "".join(f"{at[p]:8,.0f}"
                          for p in ("p50_us", "p95_us", "p99_us"))
                + number(at["hops"], ",.1f", 8)
                + number(buffers, ",.1f", 9))
    return lines


def report(result):
    """The tables of one data set, as text."""
    ceiling = result["client_ceiling_qps"]
    lines = [
        "", f"{result['name']}: {result['rows']:,} rows,"
        f" {result['queries']:,} queries, {result['dimensions']} dimensions,"
        f" {result['metric']}, recall@{K}, QPS of one thread",
        "", *sweep_lines(result), "", *index_lines(result), "",
        *setting_lines(result)]
    if ceiling:
        lines += ["", f"  client ceiling (empty SELECT): {ceiling:,.0f} QPS"]
    if result["targets"]:
        lines += ["", "  targets"]
    for check in result["targets"]:
        missed, wanted = (("not yet", "the aim") if check.get("aim")
                          else ("MISSED", "wanted"))
        lines.append(f"  {'met' if check['met'] else missed:<9}"
                     f"{check['what']:<34}{check['value']}"
                     f"  ({wanted}: {check['wanted']})")
    lines += ["", "  seconds of this set: " + ", ".join(
        f"{what} {seconds:.0f}"
        for what, seconds in result["seconds"].items())]
    lines += ["  note: " + note for note in result["notes"] + [
        f"{name}: {notice}" for name, engine in result["engines"].items()
        for notice in engine["notices"]]]
    return "\n".join(lines)
