"""What compare.py measures: an index in PostgreSQL, or hnswlib in memory.

An engine takes a data set, builds its index, and then answers all queries of
the set at a given search width, to be looked at (find) or timed (time).
"""
import os
import re
import shutil
import subprocess
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import psycopg
from psycopg.conninfo import make_conninfo

import hdf5_to_pg

K = 10                          # neighbours of a query
LARGEST_WIDTH = 1000            # pgvector's limit, so nobody goes beyond
HNSW_M, HNSW_EF_CONSTRUCTION = 16, 200
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
          " ORDER BY embedding {op} q.embedding LIMIT {k}) r")

# What of this is not the search: fixed rows, each with its distance evaluated
FLOOR = ("FROM items_queries q, LATERAL (SELECT id,"
         " embedding {op} q.embedding AS distance FROM fixed LIMIT {k}) r")

# A client sends one query at a time, prepared; pgbench cannot draw a vector,
# so that the server looks it up by a number.
CLIENT = (r"\set id random(0, {last})" "\n"
          "SELECT id FROM items ORDER BY embedding {op} (SELECT embedding"
          " FROM items_queries WHERE id = :id) LIMIT {k};\n")
CLIENT_FLOOR = "SELECT 1;\n"


class Unavailable(Exception):
    """Why an engine cannot take part."""


class Timing:
    """Queries answered by one thread, and the seconds that took."""

    def __init__(self, queries, wall, cpu):
        self.queries, self.wall, self.cpu = queries, wall, cpu

    @property
    def qps(self):
        return self.queries / self.wall


class SqlEngine:
    """An index in a database of its own, through SQL."""

    def __init__(self, name, extension, method, options, setting,
                 default_width=None, least_width=1):
        self.name, self.extension = name, extension
        self.method, self.options, self.setting = method, options, setting
        self.default_width, self.least_width = default_width, least_width
        self.database = self.connection = None
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
        conninfo = make_conninfo(self.server, dbname=self.database)
        self.connection = psycopg.connect(conninfo, autocommit=True,
                                          prepare_threshold=None)
        self.connection.add_notice_handler(
            lambda notice: self.notices.append(notice.message_primary))
        if not self.create_extension(self.extension):
            raise Unavailable(f"the server has no extension {self.extension}")
        self.load(conninfo, dataset, args.storage)
        try:
            self.build(dataset)
        except psycopg.Error as error:
            raise Unavailable(f"CREATE INDEX: {error}") from error
        self.cache()

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

    def load(self, conninfo, dataset, storage):
        target = SimpleNamespace(dbname=conninfo, type="vector",
                                 storage=storage)
        hdf5_to_pg.load(target, "items", dataset.train)
        hdf5_to_pg.load(target, "items_queries", dataset.test, dataset.truth)
        self.execute("CREATE TABLE fixed (LIKE items INCLUDING STORAGE)")
        self.execute(f"INSERT INTO fixed SELECT * FROM items LIMIT {K}")
        self.execute("VACUUM ANALYZE")
        self.search = SEARCH.format(op=dataset.operator, k=K)
        self.floor = FLOOR.format(op=dataset.operator, k=K)
        self.client = CLIENT.format(op=dataset.operator, k=K,
                                    last=len(dataset.test) - 1)

    def build(self, dataset):
        for setting, value in {**SEARCH_SETTINGS, **BUILD_SETTINGS}.items():
            self.execute(f"SET {setting} = '{value}'")
        started = perf_counter()
        self.execute(f"CREATE INDEX items_index ON items USING {self.method}"
                     f" (embedding {dataset.opclass}) {self.options}")
        self.details.update(
            build_seconds=perf_counter() - started,
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
        most = self.value("SELECT max_val::bigint FROM pg_settings"
                          f" WHERE name = '{self.setting}'")
        return self.least_width, min(most, LARGEST_WIDTH)

    def set_width(self, width):
        self.execute(f"SET {self.setting} = {width}")

    def find(self, width):
        """The ids that each query finds, -1 where there were too few."""
        self.set_width(width)
        ids = np.full((self.value("SELECT count(*) FROM items_queries"), K),
                      -1)
        filled = np.zeros(len(ids), int)
        for query, row in self.execute("SELECT q.id, r.id " + self.search):
            ids[query, filled[query]] = row
            filled[query] += 1
        return ids

    def time(self, width, seconds):
        self.set_width(width)
        return self.time_sql("SELECT count(*), sum(r.id) " + self.search,
                             seconds, "items_index")

    def time_floor(self, seconds):
        return self.time_sql("SELECT count(*), sum(r.id), sum(r.distance) "
                             + self.floor, seconds, "fixed")

    def time_sql(self, sql, seconds, scanned):
        """Runs the statement, planned before, for some time."""
        self.execute("PREPARE timed AS " + sql)
        plan = "\n".join(line for line, in
                         self.execute("EXPLAIN EXECUTE timed"))
        if scanned not in plan:
            raise RuntimeError(f"no scan of {scanned}:\n{plan}")
        queries = 0
        cpu, started = self.cpu(), perf_counter()
        while not queries or perf_counter() - started < seconds:
            queries += self.value("EXECUTE timed") // K
        wall = perf_counter() - started
        if cpu is not None:
            cpu = self.cpu() - cpu
        self.execute("DEALLOCATE timed")
        return Timing(queries, wall, cpu)

    def client_qps(self, seconds, width=None):
        """Queries per second of one client, pgbench; of one that asks for
        nothing if there is no width."""
        settings = dict(SEARCH_SETTINGS)
        if width is not None:
            settings[self.setting] = str(width)
        options = " ".join(f"-c {name}={value}"
                           for name, value in settings.items())
        script = CLIENT_FLOOR if width is None else self.client
        output = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-T", str(seconds),
             "-f", "/dev/stdin", make_conninfo(
                 self.server, dbname=self.database, options=options)],
            input=script, stdout=subprocess.PIPE, check=True, text=True).stdout
        return float(re.search(r"^tps = ([0-9.]+)", output, re.M)[1])

    def cpu(self):
        """Seconds of CPU time of the backend, None if it is not here."""
        info = self.connection.info
        directory = f"/proc/{info.backend_pid}"
        if not info.host.startswith("/") or not os.path.exists(directory):
            return None
        # In nanoseconds, where the kernel accounts for it; else in ticks
        with open(directory + "/schedstat", encoding="ascii") as file:
            nanoseconds = int(file.read().split()[0])
        if nanoseconds:
            return nanoseconds / 1e9
        with open(directory + "/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


class HnswlibEngine:
    """hnswlib, in a process of its own: see hnswlib_bench.cpp."""

    name, method, default_width = "hnswlib", None, None
    header = "/usr/include/hnswlib/hnswlib.h"

    def __init__(self):
        self.process, self.details = None, {}

    def prepare(self, dataset, args):
        if not os.path.exists(self.header) or not shutil.which("g++"):
            raise Unavailable("needs the packages libhnswlib-dev and g++")
        program = os.path.join(args.scratch, "hnswlib_bench")
        if not os.path.exists(program):
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                  "hnswlib_bench.cpp")
            subprocess.run(["g++", "-O3", "-march=native", "-pthread", "-w",
                            "-o", program, source], check=True)
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
                            index_bytes=int(size))

    def answer(self, *request):
        if request:
            print(*request, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("hnswlib_bench ended")
        return line.split()

    def widths(self):
        return K, LARGEST_WIDTH

    def find(self, width):
        return np.array(self.answer("find", width), int).reshape(-1, K)

    def time(self, width, seconds):
        queries, wall, cpu = self.answer("time", width, seconds)
        return Timing(int(queries), float(wall), float(cpu))

    def time_floor(self, _seconds):
        return None

    def client_qps(self, _seconds, _width=None):
        return None

    def describe(self):
        return {**self.details, "notices": []}

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
