"""Measures searches of an index that is larger than the caches.
bench/cold.sh starts it, with a server to do it in, and has the description of
the options."""
import glob
import os
import re
import subprocess
from time import perf_counter

import psycopg

from compare_engines import (BUILD_SETTINGS, ENGINES, SEARCH_SETTINGS,
                             Unavailable, least_width, percentiles)
from datasets import Dataset, find_files
from measure import Results, parse, parser, say

SQL_ENGINES = "descartes", "pgvector"
BUILD_BUFFERS = "4GB"           # while the index is built
LEAST_BUFFERS = 1 << 20         # shared buffers in bytes
STILL_CACHED = 0.05             # share of the files that makes a note

# Everything that a search reads besides its query
FILES = ("SELECT pg_relation_filepath(c.oid) FROM pg_class c, pg_class t"
         " WHERE t.oid = 'items'::regclass AND (c.relname IN ('items',"
         " 'items_index') OR c.oid = t.reltoastrelid OR c.oid IN (SELECT"
         " indexrelid FROM pg_index WHERE indrelid = t.reltoastrelid))")

BLOCKS_READ = (
    "SELECT (SELECT idx_blks_read FROM pg_statio_user_indexes"
    " WHERE indexrelname = 'items_index'), (SELECT heap_blks_read"
    " + coalesce(toast_blks_read + tidx_blks_read, 0)"
    " FROM pg_statio_user_tables WHERE relname = 'items')")


def restart(server, buffers):
    """The private server, with as many shared buffers."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET shared_buffers = '{buffers}'")
        directory = connection.execute("SHOW data_directory").fetchone()[0]
    bindir = subprocess.run([os.environ["PG_CONFIG"], "--bindir"], text=True,
                            stdout=subprocess.PIPE, check=True).stdout.strip()
    subprocess.run(
        [os.path.join(bindir, "pg_ctl"), "-w", "-s", "-D", directory, "-l",
         os.path.join(os.environ["DESCARTES_SANDBOX"], "server.log"),
         "restart"], check=True)


class SystemCache:
    """The operating system's cache of what an engine's searches read."""

    def __init__(self, engine):
        directory = engine.value("SHOW data_directory")
        self.paths = [
            path for name, in engine.execute(FILES)
            for path in glob.glob(os.path.join(directory, name) + "*")
            if re.search(r"/\d+(\.\d+)?$", path)]
        self.files = [os.open(path, os.O_RDONLY) for path in self.paths]
        for file in self.files:
            os.fsync(file)      # what is not written yet cannot be forgotten

    def drop(self):
        for file in self.files:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)

    def fill(self):
        for file in self.files:
            at = 0
            while part := os.pread(file, 1 << 20, at):
                at += len(part)

    def share(self):
        """How much of the files is in the cache; None if nobody knows."""
        try:
            pages = subprocess.run(
                ["fincore", "--bytes", "--noheadings", "--output", "RES",
                 *self.paths], stdout=subprocess.PIPE, text=True,
                check=True).stdout.split()
        except (OSError, subprocess.CalledProcessError):
            return None
        return sum(map(int, pages)) / sum(map(os.path.getsize, self.paths))

    def close(self):
        for file in self.files:
            os.close(file)


class Pass:
    """One pass over the queries, in a backend of its own."""

    def __init__(self, engine, width, concurrency):
        self.connection = engine.another_connection()
        self.queries = engine.queries
        for setting, value in {
                engine.setting: width, "plan_cache_mode": "force_generic_plan",
                "effective_io_concurrency": concurrency}.items():
            self.connection.execute(f"SET {setting} = {value}")
        self.connection.execute(f"PREPARE one(int) AS {engine.one}")

    def query(self, number):
        """Seconds that it takes."""
        started = perf_counter()
        self.connection.execute(f"EXECUTE one({number})").fetchall()
        return perf_counter() - started

    def blocks(self):
        self.connection.execute("SELECT pg_stat_force_next_flush()")
        return self.connection.execute(BLOCKS_READ).fetchone()

    def run(self, before_each):
        """Seconds of each query, and blocks read of index and table."""
        self.query(0)           # what the backend does but once
        before = self.blocks()
        seconds = []
        for number in range(self.queries):
            before_each()
            seconds.append(self.query(number))
        return seconds, [b - a for a, b in zip(before, self.blocks())]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def measure_engine(engine, width, args):
    """All settings, in turn: there and back, as the machine below may have
    caches of its own, which favour who comes later."""
    cache = SystemCache(engine)
    notes = []
    runs = [{"system_cache": kept, "effective_io_concurrency": concurrency,
             "seconds": [], "blocks": [0, 0]}
            for kept in ("dropped", "kept")
            for concurrency in args.concurrency]
    try:
        with Pass(engine, width, 0) as warm_up:
            warm_up.run(cache.drop)
        cache.drop()
        share = cache.share()
        if share is None:
            notes.append("no fincore to see if the system forgets the files")
        elif share > STILL_CACHED:
            notes.append(f"the system keeps {share:.0%} of the files cached"
                         " when asked to forget them")
        for number in range(args.rounds):
            say(f"  round {number + 1} of {args.rounds}")
            for run in runs if number % 2 == 0 else runs[::-1]:
                dropped = run["system_cache"] == "dropped"
                if not dropped:
                    cache.fill()
                with Pass(engine, width, run["effective_io_concurrency"]) as p:
                    seconds, blocks = p.run(cache.drop if dropped
                                            else lambda: None)
                run["seconds"] += seconds
                run["blocks"] = [a + b for a, b in zip(run["blocks"], blocks)]
    finally:
        cache.close()
    return [summarize(run) for run in runs], notes


def summarize(run):
    seconds = run.pop("seconds")
    index, table = (blocks / len(seconds) for blocks in run.pop("blocks"))
    return {**run, "queries": len(seconds), "qps": len(seconds) / sum(seconds),
            **percentiles([1e6 * s for s in seconds]),
            "index_blocks_read": index, "table_blocks_read": table}


def measure(dataset, args):
    say(f"\n{dataset}")
    result = {**dataset.describe(), "notes": [], "engines": {}}
    for name in args.engines.split(","):
        engine = ENGINES[name]()
        restart(args.dsn, BUILD_BUFFERS)
        try:
            engine.prepare(dataset, args)
            width = least_width(engine, dataset, args.recall)
            recall = dataset.recall(engine.find(width))
            say(f"  {name}: search width {width}, recall {recall:.4f}")
            about = engine.describe()
            buffers = max(about["index_bytes"] // args.share, LEAST_BUFFERS)
            engine.connection.close()
            restart(args.dsn, f"{buffers // 1024}kB")
            engine.connect()
            runs, notes = measure_engine(engine, width, args)
            result["engines"][name] = {
                **about, "shared_buffers_bytes": buffers, "width": width,
                "recall": recall, "runs": runs}
            result["notes"] += [f"{name}: {note}" for note in notes]
        except Unavailable as reason:
            result["notes"].append(f"{name} left out: {reason}")
        finally:
            engine.close()
    return result


def report(result):
    lines = ["", f"{result['name']}: {result['rows']:,} rows,"
             f" {result['queries']:,} queries, {result['dimensions']}"
             f" dimensions, {result['metric']}"]
    for name, engine in result["engines"].items():
        lines += [
            "", f"  {name}, width {engine['width']}, recall"
            f" {engine['recall']:.4f}; index"
            f" {engine['index_bytes'] / 2**20:.1f} MB, shared buffers"
            f" {engine['shared_buffers_bytes'] / 2**20:.1f} MB",
            f"  {'system cache':<13}{'effective_io_concurrency':>25}{'QPS':>9}"
            f"{'mean us':>10}{'p50 us':>10}{'p95 us':>10}{'p99 us':>10}"
            f"{'blocks: index':>15}{'table':>7}"]
        for run in engine["runs"]:
            lines.append(
                f"  {run['system_cache']:<13}"
                f"{run['effective_io_concurrency']:25}{run['qps']:9,.0f}"
                + "".join(f"{run[figure]:10,.0f}" for figure in
                          ("mean_us", "p50_us", "p95_us", "p99_us"))
                + f"{run['index_blocks_read']:15.1f}"
                f"{run['table_blocks_read']:7.1f}")
    lines += ["  note: " + note for note in result["notes"]]
    return "\n".join(lines)


def parse_arguments():
    options = parser("cold")
    options.add_argument("--recall", type=float, default=0.99)
    options.add_argument("--concurrency", default="0,1,16")
    options.add_argument("--share", type=int, default=10)
    args = parse(options, SQL_ENGINES,
                 {"rows": 10000, "queries": 30, "rounds": 2},
                 {"queries": 200, "rounds": 4})
    args.concurrency = [int(n) for n in args.concurrency.split(",")]
    return args


def main():
    args = parse_arguments()
    results = Results(args, "cold", search_settings=SEARCH_SETTINGS,
                      build_settings=BUILD_SETTINGS)
    for file in find_files(args.files, args.sets, "words-100"):
        result = measure(Dataset(file, args), args)
        results.add(result, report(result))


if __name__ == "__main__":
    main()
