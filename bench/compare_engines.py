"""What is measured: an index in PostgreSQL, or one in memory.

An engine takes a data set, builds its index, and then answers all queries of
the set at a given search width, to be looked at (find), timed together (time)
or one by one (probe).
"""
import json
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep
from types import SimpleNamespace

import numpy as np
import psycopg
from psycopg.conninfo import make_conninfo

import hdf5_to_pg
from datasets import K
from proc import BuildWatch, cpu_seconds, peak_memory
from progress import Progress

CPUS = len(os.sched_getaffinity(0))     # all of them look for the recall
LARGEST_WIDTH = 4000            # no search is wider; pgvector's end at 1000
HNSW_M, HNSW_EF_CONSTRUCTION = 16, 200
HNSW_EF_SEARCH = 40             # pgvector's default
BUILD_THREADS = 2               # in a server: the leader and a worker

# One backend, and no plan but the index scan, executed anew for each query
SEARCH_SETTINGS = {
    "enable_seqscan": "off", "enable_memoize": "off", "jit": "off",
    "max_parallel_workers_per_gather": "0"}
BUILD_SETTINGS = {
    "maintenance_work_mem": "1GB", "min_parallel_table_scan_size": "0",
    "max_parallel_maintenance_workers": str(BUILD_THREADS - 1)}

# No client in the loop: the queries come from a table.
SEARCH = ("FROM items_queries q, LATERAL (SELECT id FROM items"
          " ORDER BY embedding {op} q.embedding LIMIT {k}) r ")
SOME = "WHERE q.id < {}"        # the first queries only

# What of this is not the search: fixed rows, each with its distance evaluated
FLOOR = ("FROM items_queries q, LATERAL (SELECT id,"
         " embedding {op} q.embedding AS distance FROM fixed LIMIT {k}) r")

# Microseconds of each query: statements of their own, planned before
EACH = """CREATE FUNCTION time_each(queries int, passes int) RETURNS SETOF float8
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    q record;
    started timestamptz;
BEGIN
    FOR pass IN 1..passes LOOP
        FOR q IN SELECT embedding FROM items_queries WHERE id < queries LOOP
            started := clock_timestamp();
            PERFORM id FROM items ORDER BY embedding {op} q.embedding
                LIMIT {k};
            RETURN NEXT 1e6 * extract(epoch FROM clock_timestamp() - started);
        END LOOP;
    END LOOP;
END $$"""

# A client sends one query at a time, prepared; pgbench cannot draw a vector,
# so that the server looks it up by a number.
ONE = ("SELECT id FROM items ORDER BY embedding {op} (SELECT embedding"
       " FROM items_queries WHERE id = {id}) LIMIT {k}")
CLIENT = r"\set id random(0, {last})" "\n" + ONE + ";\n"
CLIENT_CEILING = "SELECT;\n"

# Pages of the table that a statement read: all that it reads but the index's
TABLE_BLOCKS = (
    "SELECT sum(heap_blks_read + heap_blks_hit"
    " + coalesce(toast_blks_read + toast_blks_hit"
    " + tidx_blks_read + tidx_blks_hit, 0))::bigint"
    " FROM pg_statio_user_tables WHERE relname = 'items'")


class Unavailable(Exception):
    """Why an engine cannot take part."""


class Timing:
    """Queries answered by one thread, and the seconds that took."""

    def __init__(self, queries, wall, cpu):
        self.queries, self.wall, self.cpu = queries, wall, cpu

    @property
    def qps(self):
        return self.queries / self.wall


def percentiles(microseconds):
    """The figures of single queries that are kept."""
    p50, p95, p99 = np.percentile(microseconds, (50, 95, 99))
    return {"mean_us": float(np.mean(microseconds)), "p50_us": float(p50),
            "p95_us": float(p95), "p99_us": float(p99)}


def least_width(engine, dataset, recall):
    """The least width that reaches the recall, or the largest that there is:
    by doubling, then halving."""
    low, most = engine.widths()

    def enough(width):
        return dataset.recall(engine.find(width)) >= recall

    high = low
    while high < most and not enough(high):
        low, high = high, min(2 * high, most)
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


class SqlEngine:
    """An index in a database of its own, through SQL."""

    def __init__(self, name, extension, method, options, setting,
                 default_width=None, least=1):
        self.name, self.extension = name, extension
        self.method, self.options, self.setting = method, options, setting
        self.default_width, self.least = default_width, least
        self.database = self.connection = None
        self.build_settings = dict(BUILD_SETTINGS)
        self.notices, self.details = [], {}

    def prepare(self, dataset, args):
        """Loads the set, then builds and caches the index."""
        self.server, self.keep = args.dsn, args.keep
        self.database = "compare_" + "".join(
            c if c.isalnum() else "_"
            for c in f"{dataset.name[:20]}_{self.name[:30]}")
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self.database}"')
            connection.execute(f'CREATE DATABASE "{self.database}"')
        self.connect()
        if not self.create_extension(self.extension):
            raise Unavailable(f"the server has no extension {self.extension}")
        self.load(dataset, args.storage)
        try:
            self.build(dataset)
        except psycopg.Error as error:
            raise Unavailable(f"CREATE INDEX: {error}") from error
        self.cache()

    def conninfo(self, **options):
        return make_conninfo(self.server, dbname=self.database, **options)

    def another_connection(self):
        """A backend with the settings of a search."""
        connection = psycopg.connect(self.conninfo(), autocommit=True,
                                     prepare_threshold=None)
        for setting, value in SEARCH_SETTINGS.items():
            connection.execute(f"SET {setting} = '{value}'")
        return connection

    def connect(self):
        self.connection = self.another_connection()
        self.connection.add_notice_handler(
            lambda notice: self.notices.append(notice.message_primary))

    def create_extension(self, name):
        """False if the server does not have it."""
        try:
            self.execute("CREATE EXTENSION " + name)
        except (psycopg.errors.UndefinedFile,
                psycopg.errors.FeatureNotSupported):
            return False
        return True

    def execute(self, sql):
        return self.connection.execute(sql)

    def value(self, sql):
        return self.execute(sql).fetchone()[0]

    def load(self, dataset, storage):
        target = SimpleNamespace(dbname=self.conninfo(), type="vector",
                                 storage=storage)
        hdf5_to_pg.load(target, "items", dataset.train)
        hdf5_to_pg.load(target, "items_queries", dataset.test, dataset.truth)
        self.execute("CREATE TABLE fixed (LIKE items INCLUDING STORAGE)")
        self.execute(f"INSERT INTO fixed SELECT * FROM items LIMIT {K}")
        self.queries = len(dataset.test)
        self.search, self.floor, self.client, each = (
            text.format(op=dataset.operator, k=K, last=self.queries - 1,
                        id=":id") for text in (SEARCH, FLOOR, CLIENT, EACH))
        self.one = ONE.format(op=dataset.operator, k=K, id="$1")
        self.execute(each)
        self.execute("VACUUM ANALYZE")

    def build(self, dataset):
        for setting, value in self.build_settings.items():
            self.execute(f"SET {setting} = '{value}'")
        pid = self.connection.info.backend_pid
        directory = self.value("SHOW data_directory")
        with Progress(self.method, pid, self.conninfo()), \
                BuildWatch(pid, directory) as watch:
            started = perf_counter()
            self.execute(
                f"CREATE INDEX items_index ON items USING {self.method}"
                f" (embedding {dataset.opclass}) {self.options}")
            seconds = perf_counter() - started
        self.details.update(
            build_seconds=seconds, **watch.figures(),
            index_bytes=self.value("SELECT pg_relation_size('items_index')"),
            table_bytes=self.value("SELECT pg_table_size('items')"),
            server=self.value("SELECT version()"),
            shared_buffers=self.value("SHOW shared_buffers"),
            huge_pages=self.value("SHOW huge_pages"),
            version=self.value("SELECT extversion FROM pg_extension"
                               f" WHERE extname = '{self.extension}'"))
        self.execute("CHECKPOINT")

    def cache(self):
        """Reads everything into shared buffers, and says if it is too much."""
        self.execute("SET client_min_messages = warning")
        if self.create_extension("pg_prewarm"):
            self.execute(
                "SELECT pg_prewarm(oid) FROM pg_class WHERE relname IN"
                " ('items', 'items_index', 'items_queries', 'fixed') OR oid ="
                " (SELECT nullif(reltoastrelid, 0) FROM pg_class"
                " WHERE oid = 'items'::regclass)")
        else:
            self.notices.append("no pg_prewarm: cached by searches only")
        buffers = self.value(
            "SELECT setting::bigint * current_setting('block_size')::int"
            " FROM pg_settings WHERE name = 'shared_buffers'")
        if self.value("SELECT pg_database_size(current_database())") > buffers:
            self.notices.append("does not fit into shared_buffers")

    def widths(self):
        """The search widths that can be set, from the shortest that fills
        the LIMIT: a scan of fng goes on until it is filled."""
        self.set_width(self.least)     # which loads the library, too
        most = self.value("SELECT max_val::bigint FROM pg_settings"
                          f" WHERE name = '{self.setting}'")
        return self.least, min(most, LARGEST_WIDTH)

    def set_width(self, width):
        self.execute(f"SET {self.setting} = {width}")

    def find(self, width):
        """The ids that each query finds, -1 where there were too few: by as
        many backends as there are CPUs."""
        ids = np.full((self.queries, K), -1)
        filled = np.zeros(len(ids), int)

        def find_some(part):
            with self.another_connection() as connection:
                connection.execute(f"SET {self.setting} = {width}")
                return connection.execute(
                    f"SELECT q.id, r.id {self.search}"
                    f" WHERE q.id % {CPUS} = {part}").fetchall()

        with ThreadPoolExecutor(CPUS) as pool:
            for rows in pool.map(find_some, range(CPUS)):
                for query, row in rows:
                    ids[query, filled[query]] = row
                    filled[query] += 1
        return ids

    def time(self, width, seconds, queries):
        """The first queries, again and again for so many seconds."""
        self.set_width(width)
        return self.time_sql(
            self.connection, f"SELECT count(*), sum(r.id) {self.search}"
            + (SOME.format(queries) if queries < self.queries else ""),
            seconds, "items_index")

    def time_floor(self, seconds):
        return self.time_sql(
            self.connection, "SELECT count(*), sum(r.id), sum(r.distance) "
            + self.floor, seconds, "fixed")

    def time_sql(self, connection, sql, seconds, scanned):
        """Runs the statement, planned before, for some time."""
        connection.execute("PREPARE timed AS " + sql)
        plan = "\n".join(line for line, in
                         connection.execute("EXPLAIN EXECUTE timed"))
        if scanned not in plan:
            raise RuntimeError(f"no scan of {scanned}:\n{plan}")
        queries = 0
        cpu, started = self.cpu(connection), perf_counter()
        while not queries or perf_counter() - started < seconds:
            queries += connection.execute("EXECUTE timed").fetchone()[0] // K
        wall = perf_counter() - started
        if cpu is not None:
            cpu = self.cpu(connection) - cpu
        connection.execute("DEALLOCATE timed")
        return Timing(queries, wall, cpu)

    @staticmethod
    def is_local(connection):
        return connection.info.host.startswith("/")

    def cpu(self, connection):
        if not self.is_local(connection):
            return None
        return cpu_seconds(connection.info.backend_pid)

    def probe(self, width, queries, passes, counted):
        """Latencies of the first queries, and buffers of those counted.

        fng pins the page of a node once to expand it, where that has the
        vector, too: its buffers are hops, but for the metapage.
        """
        self.set_width(width)
        times = self.execute(
            f"SELECT * FROM time_each({queries}, {passes})").fetchall()
        index, table = self.buffers(counted)
        hops = index if self.method == "fng" and self.value(
            "SELECT vectors_inline FROM descartes_index_stats('items_index')"
        ) else None
        return {**percentiles(times), "hops": hops, "index_buffers": index,
                "table_buffers": table}

    def buffers(self, queries):
        """Pages of the index and of the table that a query touches.

        EXPLAIN counts every pin, but those of both together; the table's are
        known from the statistics.
        """
        self.execute("SELECT pg_stat_force_next_flush()")
        table = self.value(TABLE_BLOCKS)
        plan = self.value(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)"
            " SELECT count(r.id) " + self.search + SOME.format(queries))
        self.execute("SELECT pg_stat_force_next_flush()")
        table = self.value(TABLE_BLOCKS) - table
        if isinstance(plan, str):
            plan = json.loads(plan)
        nodes = [plan[0]["Plan"]]
        while nodes[0].get("Index Name") != "items_index":
            nodes = nodes[0].get("Plans", []) + nodes[1:]
        both = nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"]
        return (both - table) / queries, table / queries

    def pgbench(self, script, seconds, width=None, clients=1, pin=False,
                watch=None):
        """Transactions per second of some clients, with prepared statements;
        None without pgbench.  Meanwhile calls watch, again and again."""
        if not shutil.which("pgbench"):
            return None
        settings = dict(SEARCH_SETTINGS)
        if width is not None:
            settings[self.setting] = str(width)
        options = " ".join(f"-c {name}={value}"
                           for name, value in settings.items())
        threads = min(clients, os.cpu_count())
        with subprocess.Popen(
                ["pgbench", "-n", "-M", "prepared", "-T", str(seconds),
                 "-c", str(clients), "-j", str(threads), "-f", "/dev/stdin",
                 self.conninfo(options=options)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True) as process:
            process.stdin.write(script)
            process.stdin.close()
            if pin:
                self.pin(process.pid)
            while watch and process.poll() is None:
                watch()
                sleep(0.02)
            output = process.stdout.read()
        if process.returncode:
            raise RuntimeError("pgbench failed")
        return float(re.search(r"^tps = ([0-9.]+)", output, re.M)[1])

    def pin(self, pgbench):
        """Puts pgbench and its only backend on a CPU each, as an idle machine
        would have them.  Left to itself the scheduler sometimes puts both on
        one, where a message takes a fifth of the time.
        """
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2 or not self.is_local(self.connection):
            return
        for _ in range(100):
            backends = self.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname ="
                " current_database() AND application_name = 'pgbench'"
            ).fetchall()
            if backends:
                try:
                    os.sched_setaffinity(pgbench, cpus[:1])
                    os.sched_setaffinity(backends[0][0], cpus[1:2])
                except OSError:
                    pass        # not ours, or gone
                return
            sleep(0.01)

    def client_qps(self, seconds, width):
        return self.pgbench(self.client, seconds, width, pin=True)

    def client_ceiling(self, seconds):
        """Of a client that asks for nothing."""
        return self.pgbench(CLIENT_CEILING, seconds, pin=True)

    def describe(self):
        """What the index says about itself, after the measurement."""
        if self.method == "fng":
            self.details["index"] = self.value(
                "SELECT to_jsonb(s) FROM descartes_index_stats('items_index')"
                " s")
        return {**self.details, "options": self.options,
                "notices": self.notices}

    def close(self):
        if self.connection:
            self.connection.close()
        if self.database and not self.keep:
            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(
                    f'DROP DATABASE IF EXISTS "{self.database}"'
                    " WITH (FORCE)")
        self.connection = self.database = None


class MemoryEngine:
    """A library, in a process of its own: see memory_bench.h."""

    default_width = None

    def __init__(self, name, header, package, *options):
        self.name, self.header, self.package = name, header, package
        self.options = options
        self.process, self.details = None, {}

    def program(self, scratch):
        """The program, compiled anew for each run."""
        if not os.path.exists(self.header) or not shutil.which("g++"):
            raise Unavailable(f"needs the packages {self.package} and g++")
        program = os.path.join(scratch, self.name)
        if not os.path.exists(program):
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                  f"{self.name}_bench.cpp")
            done = subprocess.run(
                ["g++", "-O3", "-march=native", "-w", "-o", program, source,
                 *self.options], stderr=subprocess.PIPE, text=True,
                check=False)
            if done.returncode:
                raise Unavailable(f"does not compile:\n{done.stderr}")
        return program

    def prepare(self, dataset, args):
        self.queries = len(dataset.test)
        program = self.program(args.scratch)
        vectors = os.path.join(args.scratch, "vectors")
        dataset.write_floats(vectors)
        self.process = subprocess.Popen(
            [program, vectors, str(len(dataset.train)),
             str(len(dataset.test)), str(dataset.train.shape[1]),
             "ip" if dataset.angular else "l2", str(HNSW_M),
             str(HNSW_EF_CONSTRUCTION), str(BUILD_THREADS), str(K)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        seconds, size = self.answer()
        os.remove(vectors)
        self.details.update(build_seconds=float(seconds),
                            index_bytes=int(size),
                            build_peak_bytes=peak_memory(self.process.pid),
                            build_temporary_bytes=None,
                            build_workers=BUILD_THREADS - 1)

    def answer(self, *request):
        if request:
            print(*request, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}_bench ended")
        return line.split()

    def widths(self):
        return K, LARGEST_WIDTH

    def find(self, width):
        return np.array(self.answer("find", width, CPUS),
                        int).reshape(-1, K)

    def time(self, width, seconds, queries):
        queries, wall, cpu = self.answer("time", width, seconds, queries)
        return Timing(int(queries), float(wall), float(cpu))

    def probe(self, width, queries, passes, _counted):
        hops, *times = map(float, self.answer("each", width, queries, passes))
        return {**percentiles(times), "hops": None if hops < 0 else hops,
                "index_buffers": None, "table_buffers": None}

    def describe(self):
        return {**self.details, "notices": []}

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


def descartes(name="descartes", options=""):
    """fng, at its defaults unless there are options."""
    return SqlEngine(name, "descartes", "fng", options and f"WITH ({options})",
                     "descartes.search_res_cnt", default_width=0)


ENGINES = {
    "descartes": descartes,
    "pgvector": lambda: SqlEngine(
        "pgvector", "vector", "hnsw", f"WITH (m = {HNSW_M},"
        f" ef_construction = {HNSW_EF_CONSTRUCTION})", "hnsw.ef_search",
        default_width=HNSW_EF_SEARCH, least=K),
    "hnswlib": lambda: MemoryEngine(
        "hnswlib", "/usr/include/hnswlib/hnswlib.h", "libhnswlib-dev",
        "-pthread"),
    "faiss": lambda: MemoryEngine(
        "faiss", "/usr/include/faiss/IndexHNSW.h", "libfaiss-dev",
        "-fopenmp", "-pthread", "-lfaiss", "-llapack", "-lblas")}
