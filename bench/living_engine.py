"""A table with its index, to be copied and changed.

A base is loaded and built once.  Each part of the measurement works on copies
of it, whose tables are

    items           id, embedding: what is indexed; id counts the set's rows
    pool            the same of all rows that may be inserted
    items_queries   id, embedding
"""
import copy
import glob
import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from time import perf_counter, sleep
from types import SimpleNamespace

import numpy as np
import psycopg

import hdf5_to_pg
from compare_engines import (CLIENT, CPUS, ENGINES, SEARCH, SEARCH_SETTINGS,
                             SqlEngine, Unavailable)
from datasets import K, TOLERANCE
from proc import children, ended_cpu_seconds, status

BARE = "no index"

# A client takes every so manieth row of those to be inserted
INSERT = (r"\set i :i + 1" "\n"
          r"\set at {first} + :client_id + {clients} * :i" "\n"
          "INSERT INTO items SELECT id, embedding FROM {source} = :at;\n")
BY_NUMBER = "pool WHERE id"
BY_TURN = "pool JOIN turn USING (id) WHERE number"

PROGRESS = re.compile(r"progress: ([0-9.]+) s, ([0-9.]+) tps")
PATIENCE = 10                   # seconds that a backend may take to end
PAUSE = 0.05                    # seconds from one VACUUM to the next


class Truth:
    """The true neighbours among some rows of the set."""

    def __init__(self, dataset, ids):
        neighbors, _ = hdf5_to_pg.exact_neighbors(
            dataset.train[ids], dataset.test, dataset.angular, K)
        self.dataset = dataset
        self.bound = np.max(dataset.distances(ids[neighbors]), axis=1,
                            keepdims=True) * (1 + TOLERANCE)

    def recall(self, found):
        return float(np.mean(self.dataset.distances(found) <= self.bound))


class Living(SqlEngine):
    """An engine of the other programs, with what changes its rows."""

    def __init__(self, name, args):
        indexed = name != BARE
        like = ENGINES[name if indexed else "descartes"]()
        vars(self).update(vars(like), name=name, indexed=indexed,
                          rows=args.rows, scratch=args.scratch)

    def load(self, dataset, storage):
        target = SimpleNamespace(dbname=self.conninfo(), type="vector",
                                 storage=storage)
        hdf5_to_pg.load(target, "pool", dataset.train[:2 * self.rows])
        hdf5_to_pg.load(target, "items_queries", dataset.test)
        self.execute("CREATE TABLE items (LIKE pool INCLUDING ALL)")
        self.execute("INSERT INTO items SELECT * FROM pool"
                     f" WHERE id < {self.rows} ORDER BY id")
        self.pool = min(2 * self.rows, len(dataset.train))
        self.queries = len(dataset.test)
        self.search, self.client = (
            text.format(op=dataset.operator, k=K, last=self.queries - 1,
                        id=":id") for text in (SEARCH, CLIENT))
        self.execute("VACUUM ANALYZE")
        self.present, self.next = np.arange(self.rows), self.rows

    def build(self, dataset):
        if self.indexed:
            super().build(dataset)

    def cache(self):
        """As in the other programs, and what they do not have."""
        if self.value("SELECT count(*) FROM pg_extension"
                      " WHERE extname = 'pg_prewarm'"):
            self.execute("SET client_min_messages = warning")
        else:
            super().cache()
        if self.value("SELECT count(*) FROM pg_extension"
                      " WHERE extname = 'pg_prewarm'"):
            self.execute("SELECT pg_prewarm(oid) FROM pg_class"
                         " WHERE oid >= 16384 AND relkind IN ('r', 'i', 't')")

    def rest(self):
        """A template may have no connections."""
        self.connection.close()
        self.connection = None

    def connect(self):
        super().connect()
        for setting, value in self.build_settings.items():
            self.execute(f"SET {setting} = '{value}'")

    @contextmanager
    def copy(self, part):
        """Another database with the same, for the with block."""
        other = copy.copy(self)
        other.database = f"{self.database}_{part}"
        other.details = dict(self.details)
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(
                f'DROP DATABASE IF EXISTS "{other.database}" WITH (FORCE)')
            connection.execute(
                f'CREATE DATABASE "{other.database}" TEMPLATE'
                f' "{self.database}" STRATEGY file_copy')
        try:
            other.connect()
            other.cache()
            yield other
        finally:
            other.close()

    # What changes the rows

    def insert(self, clients, count, tell=None):
        """The next rows of the pool, by some clients."""
        each = count // clients
        count = each * clients
        if self.next + count > self.pool:
            raise RuntimeError(f"the set has too few rows: {count} more")
        run = self.bench(INSERT.format(first=self.next, clients=clients,
                                       source=BY_NUMBER),
                         clients, each, tell)
        self.present = np.append(self.present,
                                 np.arange(self.next, self.next + count))
        self.next += count
        return run

    def insert_these(self, clients, ids, tell=None):
        """Rows of the pool, wherever, by some clients."""
        self.execute("DROP TABLE IF EXISTS turn")
        self.execute("CREATE UNLOGGED TABLE turn"
                     " (number int PRIMARY KEY, id int)")
        with self.connection.cursor() as cursor:
            with cursor.copy("COPY turn FROM STDIN") as rows:
                for row in enumerate(ids.tolist()):
                    rows.write_row(row)
        each = len(ids) // clients
        run = self.bench(INSERT.format(first=0, clients=clients,
                                       source=BY_TURN),
                         clients, each, tell)
        rest = ids[each * clients:].tolist()    # that no client took
        self.connection.execute("INSERT INTO items SELECT * FROM pool"
                                " WHERE id = ANY(%s)", (rest,))
        self.present = np.append(self.present, ids)
        return run

    def delete(self, ids):
        deleted = self.connection.execute(
            "DELETE FROM items WHERE id = ANY(%s)", (ids.tolist(),)).rowcount
        if deleted != len(ids):
            raise RuntimeError(f"{deleted} rows deleted, not {len(ids)}")
        self.present = np.setdiff1d(self.present, ids)

    def vacuum(self):
        """Seconds, and those of CPU time of the backend."""
        cpu, started = self.cpu(self.connection), perf_counter()
        self.execute("VACUUM items")
        seconds = perf_counter() - started
        if cpu is not None:
            cpu = self.cpu(self.connection) - cpu
        return seconds, cpu

    def index_bytes(self):
        return self.value("SELECT pg_relation_size('items_index')")

    def check(self):
        """What is wrong, if anything is."""
        rows = self.value("SELECT count(*) FROM items")
        if rows != len(self.present):
            return f"{rows} rows, not {len(self.present)}"
        if self.method == "fng":
            try:
                self.execute(
                    "SELECT descartes_index_check('items_index', true)")
            except psycopg.Error as error:
                return str(error)
        return None

    # Clients

    def pgbench_command(self, clients, *options):
        if not shutil.which("pgbench"):
            raise Unavailable("there is no pgbench")
        settings = " ".join(f"-c {name}={value}"
                            for name, value in SEARCH_SETTINGS.items())
        return ["pgbench", "-n", "-M", "prepared", "-P", "1",
                "-c", str(clients), "-j", str(min(clients, CPUS)),
                "-f", "/dev/stdin", *options, self.conninfo(options=settings)]

    def bench(self, script, clients, each, tell):
        """So many transactions of each client.  Calls tell with the share
        that is done."""
        prefix = os.path.join(self.scratch, "latencies")
        postmaster = status(self.connection.info.backend_pid, "PPid")
        others = children(postmaster)
        spent = ended_cpu_seconds(postmaster)
        process = start(self.pgbench_command(
            clients, "-t", str(each), "-D", "i=-1", "-l",
            "--log-prefix=" + prefix), script, subprocess.PIPE)
        messages, done, at = [], 0, 0
        try:
            for line in process.stderr:
                found = PROGRESS.match(line)
                if found:
                    now, tps = map(float, found.groups())
                    done, at = done + tps * (now - at), now
                    if tell:
                        tell(min(done / (each * clients), 1))
                else:
                    messages.append(line)
            output = process.stdout.read()
            process.wait()
        finally:
            end(process)
        logs = glob.glob(prefix + ".*")
        latencies = np.concatenate([
            np.loadtxt(log, usecols=2, ndmin=1) for log in logs])
        for log in logs:
            os.remove(log)
        if process.returncode or len(latencies) != each * clients:
            raise RuntimeError("pgbench failed: " + "".join(messages))
        cpu = None
        if spent is not None and self.is_local(self.connection):
            wait_for_end(postmaster, others)
            cpu = (ended_cpu_seconds(postmaster) - spent) / len(latencies)
        tps = re.search(r"^tps = ([0-9.]+)", output, re.M)
        return SimpleNamespace(
            tps=float(tps[1]), cpu_us=cpu and 1e6 * cpu, latencies=latencies,
            seconds=len(latencies) / float(tps[1]))

    @contextmanager
    def reader(self):
        """A client that searches, during the with block: yields a list that
        will have its transactions per second."""
        rate = []
        path = os.path.join(self.scratch, "reader")
        postmaster = status(self.connection.info.backend_pid, "PPid")
        others = children(postmaster)
        with open(path, "w+", encoding="utf-8") as messages:
            process = start(self.pgbench_command(1, "-T", "100000"),
                            self.client, messages)
            try:
                self.wait_for_reader(process)
                yield rate
            finally:
                failed = process.poll() is not None
                end(process)
                wait_for_end(postmaster, others)
                messages.seek(0)
                text = messages.read()
                rate += [float(tps) for _, tps in PROGRESS.findall(text)]
        if failed:
            raise RuntimeError("the reader failed: " + text)

    def wait_for_reader(self, process):
        for _ in range(100 * PATIENCE):
            if process.poll() is not None or self.value(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname ="
                    " current_database() AND application_name = 'pgbench'"):
                return
            sleep(0.01)

    @contextmanager
    def vacuums(self):
        """One VACUUM after the other, during the with block: yields a list
        that will have the seconds of each."""
        seconds, errors, over = [], [], threading.Event()

        def work():
            try:
                while not over.is_set():
                    started = perf_counter()
                    connection.execute("VACUUM items")
                    seconds.append(perf_counter() - started)
                    over.wait(PAUSE)
            except psycopg.Error as error:
                errors.append(error)

        with self.another_connection() as connection:
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            try:
                yield seconds
            finally:
                over.set()
                thread.join()
        if errors:
            raise errors[0]


def start(command, script, messages):
    """A pgbench that runs the script."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=messages, text=True)
    process.stdin.write(script)
    process.stdin.close()
    return process


def end(process):
    """Ends it, where it has not."""
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in filter(None, (process.stdout, process.stderr)):
        stream.close()


def wait_for_end(postmaster, others):
    """Until all backends that have been started since are gone, so that their
    CPU time is counted."""
    for _ in range(100 * PATIENCE):
        if children(postmaster) <= others:
            return
        sleep(0.01)
