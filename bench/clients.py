"""Measures how throughput grows with the number of clients.
bench/clients.sh starts it, with a server to do it in, and has the description
of the options."""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from compare_engines import (BUILD_SETTINGS, CLIENT_CEILING, ENGINES,
                             SEARCH_SETTINGS, Unavailable, least_width)
from datasets import Dataset, find_files
from measure import Results, number, parse, parser, say

SQL_ENGINES = "descartes", "pgvector"
SESSIONS = 2
WANTED_RATIO = 1.8              # of two sessions to one
SHOWN_EVENTS = 4

ACTIVITY = ("SELECT coalesce(wait_event_type || ':' || wait_event, 'CPU')"
            " FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'pgbench' AND state = 'active'")


def run_clients(engine, width, args):
    """pgbench with each number of clients: transactions per second, and what
    the active backends waited for, in shares."""
    runs = []
    for clients in args.clients:
        events = Counter()

        def watch(events=events):
            events.update(event for event, in engine.execute(ACTIVITY))

        tps = engine.pgbench(engine.client, args.seconds, width, clients,
                             watch=watch)
        ceiling = engine.pgbench(CLIENT_CEILING, args.seconds, clients=clients)
        if tps is None:
            raise Unavailable("there is no pgbench")
        samples = sum(events.values())
        runs.append({
            "clients": clients, "tps": tps, "ceiling_tps": ceiling,
            "samples": samples, "events": {
                event: n / samples for event, n in events.most_common()}})
    return runs


def throughput(engine, connections, sql, scanned, seconds):
    """Queries per second of all sessions together."""
    with ThreadPoolExecutor(len(connections)) as pool:
        timings = pool.map(
            lambda connection: engine.time_sql(connection, sql, seconds,
                                               scanned), connections)
        return sum(timing.qps for timing in timings)


def run_sessions(engine, width, args):
    """The throughput of one session and of two, in turn, and their ratio."""
    statements = {
        "search": ("SELECT count(*), sum(r.id) " + engine.search,
                   "items_index"),
        "floor": ("SELECT count(*), sum(r.distance) " + engine.floor,
                  "fixed")}
    connections = [engine.another_connection() for _ in range(SESSIONS)]
    rounds = {what: [] for what in statements}
    try:
        for connection in connections:
            connection.execute(f"SET {engine.setting} = {width}")
        for what, (sql, scanned) in statements.items():
            throughput(engine, connections, sql, scanned, 0)    # warm up
            for _ in range(args.rounds):
                one, two = (throughput(engine, connections[:n], sql, scanned,
                                       args.seconds) for n in (1, SESSIONS))
                rounds[what].append({"one": one, "two": two,
                                     "ratio": two / one})
    finally:
        for connection in connections:
            connection.close()
    return {what: {figure: median(r[figure] for r in some)
                   for figure in ("one", "two", "ratio")} | {"rounds": some}
            for what, some in rounds.items()}


def measure(dataset, args):
    say(f"\n{dataset}")
    result = {**dataset.describe(), "notes": [], "engines": {}}
    for name in args.engines.split(","):
        engine = ENGINES[name]()
        try:
            engine.prepare(dataset, args)
            width = least_width(engine, dataset, args.recall)
            recall = dataset.recall(engine.find(width))
            say(f"  {name}: search width {width}, recall {recall:.4f}")
            result["engines"][name] = {
                "width": width, "recall": recall,
                "runs": run_clients(engine, width, args),
                "sessions": run_sessions(engine, width, args),
                **engine.describe()}
        except Unavailable as reason:
            result["notes"].append(f"{name} left out: {reason}")
        finally:
            engine.close()
    return result


def clients_lines(name, engine):
    lines = ["", f"  {name}, width {engine['width']},"
             f" recall {engine['recall']:.4f}",
             f"  {'clients':>9}{'tps':>10}{'of one':>8}{'empty':>10}"
             f"{'of one':>8}   backends with a query: samples, share"]
    first = engine["runs"][0]
    for run in engine["runs"]:
        events = list(run["events"].items())[:SHOWN_EVENTS]
        lines.append(
            f"  {run['clients']:9}{run['tps']:10,.0f}"
            f"{run['tps'] / first['tps']:8.2f}{run['ceiling_tps']:10,.0f}"
            f"{run['ceiling_tps'] / first['ceiling_tps']:8.2f}"
            f"   {run['samples']}: "
            + ", ".join(f"{event} {share:.1%}" for event, share in events))
    return lines


def sessions_lines(result):
    lines = ["", f"  {'sessions inside the server':<28}{'one, QPS':>12}"
             f"{'two, QPS':>12}{'ratio':>8}"]
    for name, engine in result["engines"].items():
        for what, figures in engine["sessions"].items():
            verdict = ""
            if name == "descartes" and what == "search":
                met = figures["ratio"] >= WANTED_RATIO
                verdict = (f"   {'met' if met else 'MISSED'}"
                           f" (wanted: >= {WANTED_RATIO})")
            lines.append(f"  {name + ', ' + what:<28}"
                         f"{figures['one']:12,.0f}{figures['two']:12,.0f}"
                         f"{number(figures['ratio'], '.2f', 8)}{verdict}")
    return lines


def report(result):
    lines = ["", f"{result['name']}: {result['rows']:,} rows,"
             f" {result['queries']:,} queries, {result['dimensions']}"
             f" dimensions, {result['metric']}"]
    for name, engine in result["engines"].items():
        lines += clients_lines(name, engine)
    lines += sessions_lines(result)
    lines += ["  note: " + note for note in result["notes"]]
    return "\n".join(lines)


def parse_arguments():
    options = parser("clients")
    options.add_argument("--recall", type=float, default=0.99)
    options.add_argument("--clients", default="1,2,4,8,16")
    args = parse(options, SQL_ENGINES,
                 {"rows": 10000, "queries": 200, "rounds": 2, "seconds": 1},
                 {"rounds": 5, "seconds": 3})
    args.seconds = max(1, round(args.seconds))      # as pgbench takes them
    args.clients = [int(n) for n in args.clients.split(",")]
    return args


def main():
    args = parse_arguments()
    results = Results(args, "clients", search_settings=SEARCH_SETTINGS,
                      build_settings=BUILD_SETTINGS)
    for file in find_files(args.files, args.sets, "words-100"):
        result = measure(Dataset(file, args), args)
        results.add(result, report(result))


if __name__ == "__main__":
    main()
