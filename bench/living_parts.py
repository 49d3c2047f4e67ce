"""The parts of the measurement of a living index; bench/living.sh says what
each does.  A part takes the bases (living_engine.py), by name, and returns its
figures."""
from contextlib import ExitStack, contextmanager
from math import log
from statistics import median
from time import sleep

import numpy as np
import psycopg

import hdf5_to_pg
from living_engine import BARE, Truth
from progress import Bar

SEED = 1                        # which rows are deleted
CLIENTS = 1, 4
WRITERS = 1, 2, 4, 8
WRITERS_DELETE = 0.02           # of the rows that there were, before each run
WAL_STEPS = 0.2, 0.8            # of the inserts, one after the other
TURNOVER_ROUNDS = 10
TURNOVER_CLIENTS = 4
VACUUM_DELETE = 0.1
STREAM_CLIENTS = 4
WIDTHS = 10, 20, 40, 80         # of the recalls that are shown
HOPS_AT = 0.95, 0.99
HOPS_WIDTHS = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224,
               320, 448, 640)   # ... until both are reached
LEAST_MISSES = 1e-5             # a recall of 1 has a logarithm, too
BATCH = 4096                    # rows per write of COPY

WAL_STATISTICS = "SELECT wal_records, wal_fpi, wal_bytes FROM pg_stat_wal"
WAL_KINDS = (
    'SELECT "resource_manager/record_type", count, record_size, fpi_size'
    " FROM pg_get_wal_stats(%s, %s, true) WHERE count > 0")
# Pages of the index that records refer to: of each transaction, and of all
WAL_PAGES = r"""
    SELECT count(DISTINCT (xid, block))::float8, count(DISTINCT block)
    FROM (SELECT r.xid::text AS xid, m[1] AS block
        FROM pg_get_wal_records_info(%s, %s) r, regexp_matches(r.block_ref,
            'rel \d+/\d+/' || pg_relation_filenode('items_index')
            || ' fork main blk (\d+)', 'g') m) AS changed"""


def indexed(bases):
    return [name for name in bases if name != BARE]


def in_turn(names, number):
    """One order, and in the next round the other."""
    return names[::-1] if number % 2 else names


def figures(runs):
    """Of several runs of the same."""
    latencies = np.concatenate([run.latencies for run in runs])
    p50, p99 = np.percentile(latencies, (50, 99))
    cpu = [run.cpu_us for run in runs if run.cpu_us is not None]
    return {"tps": median(run.tps for run in runs),
            "p50_us": float(p50), "p99_us": float(p99),
            "cpu_us": median(cpu) if cpu else None, "rows": len(latencies),
            "rounds": [run.tps for run in runs]}


def inserts(bases, _dataset, args):
    """By name and number of clients, and the ratios to each engine."""
    names = list(bases)
    runs = {name: {n: [] for n in CLIENTS} for name in names}
    count = fair_share(bases, args.inserts, args.rounds * len(CLIENTS))
    weight = args.rounds * len(CLIENTS) * len(names)
    with ExitStack() as copies, Bar(weight) as bar:
        engines = {name: copies.enter_context(base.copy("inserts"))
                   for name, base in bases.items()}
        for number in range(args.rounds):
            for clients in CLIENTS:
                for name in in_turn(names, number):
                    with bar.step(f"{name}, clients: {clients}, round"
                                  f" {number + 1}") as tell:
                        runs[name][clients].append(engines[name].insert(
                            clients, count, tell))
    result = {name: {str(n): figures(some) for n, some in by_clients.items()}
              for name, by_clients in runs.items()}
    return {"engines": result, "rows": count, "ratios": {
        name: {str(n): median(mine / other for mine, other in zip(
            result["descartes"][str(n)]["rounds"],
            result[name][str(n)]["rounds"])) for n in CLIENTS}
        for name in indexed(bases)
        if name != "descartes" and "descartes" in bases}}


def fair_share(bases, rows, runs):
    """Rows for each of some runs, which all find enough of them."""
    base = bases[BARE]
    rows = min(rows, (base.pool - base.rows) // runs)
    most = max(WRITERS)
    return rows // most * most or most


def writers(bases, _dataset, args):
    """Alone and busy: tps by number of writers, and what is found wrong."""
    if "descartes" not in bases:
        return None
    count = fair_share(bases, args.inserts, args.rounds * len(WRITERS))
    return {"rows": count, "alone": write(bases, args, count, False),
            "busy": write(bases, args, count, True)}


def write(bases, args, count, busy):
    what = "busy" if busy else "alone"
    runs = {n: [] for n in WRITERS}
    reads, vacuums = ({n: [] for n in WRITERS} for _ in range(2))
    rng = np.random.default_rng(SEED)
    with bases["descartes"].copy("writers") as engine, \
            Bar(args.rounds * len(WRITERS)) as bar:
        for number in range(args.rounds):
            for writers_ in in_turn(WRITERS, number):
                with bar.step(f"{what}, writers: {writers_}, round"
                              f" {number + 1}") as tell, \
                        ExitStack() as others:
                    if busy:
                        engine.delete(rng.choice(
                            engine.present, int(WRITERS_DELETE * engine.rows),
                            replace=False))
                        rate = others.enter_context(engine.reader())
                        times = others.enter_context(engine.vacuums())
                    runs[writers_].append(
                        engine.insert(writers_, count, tell))
                if busy:
                    reads[writers_] += rate
                    vacuums[writers_] += times
        wrong = engine.check()
    by_writers = {n: figures(some) for n, some in runs.items()}
    best = None
    for n, found in by_writers.items():
        found["of_fewer"] = best and found["tps"] / best
        best = max(best or 0, found["tps"])
        if busy:
            found["vacuums"] = len(vacuums[n])
            found["vacuum_seconds"] = max(vacuums[n])
            found["reader_tps"] = median(reads[n]) if reads[n] else None
    return {"writers": {str(n): found for n, found in by_writers.items()},
            "wrong": wrong}


def wal(bases, _dataset, args):
    """By name, with full_page_writes on and off."""
    count = min(args.wal_inserts, bases[BARE].pool - bases[BARE].rows)
    result = {"rows": count, "on": {}, "off": {}}
    with Bar(2 * len(bases)) as bar:
        for setting in ("on", "off"):
            for name, base in bases.items():
                with base.copy("wal") as engine, \
                        full_page_writes(engine, setting), \
                        bar.step(f"{name}, full_page_writes {setting}") \
                        as tell:
                    result[setting][name] = write_ahead(engine, count, tell)
    return result


@contextmanager
def full_page_writes(engine, setting):
    """For the with block, which begins after a checkpoint."""
    def reload(command):
        engine.execute("ALTER SYSTEM " + command)
        engine.execute("SELECT pg_reload_conf()")

    reload(f"SET full_page_writes = {setting}")
    try:
        for _ in range(20):
            sleep(0.1)          # the checkpointer has to notice
            engine.execute("CHECKPOINT")
            if engine.value("SELECT full_page_writes"
                            " FROM pg_control_checkpoint()") is (
                                setting == "on"):
                break
        else:
            raise RuntimeError(f"full_page_writes is not {setting}")
        yield
    finally:
        reload("RESET full_page_writes")


def write_ahead(engine, count, tell):
    """Bytes per insert so far, after each step, and what they are in the
    end."""
    redo = "SELECT redo_lsn::text FROM pg_control_checkpoint()"
    checkpoint = engine.value(redo)
    before = engine.execute(WAL_STATISTICS).fetchone()
    start = engine.value("SELECT pg_current_wal_insert_lsn()::text")
    steps, done = [], 0
    for step in WAL_STEPS:
        rows = int(step * count)
        engine.insert(1, rows, lambda share: tell(
            (done + share * rows) / count))
        done += rows
        steps.append({"rows": done, "bytes": float(engine.connection.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)",
            (start,)).fetchone()[0]) / done})
    flushed = engine.value("SELECT pg_current_wal_flush_lsn()::text")
    if engine.value(redo) != checkpoint:
        engine.notices.append("a checkpoint fell into the inserts: the"
                              " figures of wal are too large")
    sleep(1)                    # the last backend tells what it wrote
    after = engine.execute(WAL_STATISTICS).fetchone()
    records, images, size = (float(b - a) / done
                             for a, b in zip(before, after))
    return {"bytes": steps[-1]["bytes"], "steps": steps, "records": records,
            "images": images, "statistics_bytes": size,
            **inspect(engine, start, flushed, done)}


def inspect(engine, start, end, rows):
    """What pg_walinspect says: kinds of records, and pages of the index."""
    if not engine.create_extension("pg_walinspect"):
        engine.notices.append("no pg_walinspect: wal without kinds")
        return {"kinds": {}, "image_bytes": None, "pages": None,
                "pages_in_all": None}
    kinds = {name: {"records": n / rows, "bytes": float(record_size) / rows,
                    "image_bytes": float(image_size) / rows}
             for name, n, record_size, image_size in
             engine.connection.execute(WAL_KINDS, (start, end))}
    pages, in_all = (engine.connection.execute(
        WAL_PAGES, (start, end)).fetchone() if engine.indexed else (0, 0))
    return {"kinds": kinds, "pages": pages / rows, "pages_in_all": in_all,
            "image_bytes": sum(k["image_bytes"] for k in kinds.values())}


class Turnover:
    """Which rows go and come in each round, the same for all engines; and the
    truth after it."""

    def __init__(self, dataset, base):
        self.dataset, self.truths = dataset, {}
        order = np.random.default_rng(SEED).permutation(base.rows)
        self.deleted = np.array_split(order, TURNOVER_ROUNDS)
        waiting = np.concatenate([np.arange(base.rows, base.pool),
                                  *self.deleted])
        parts = np.cumsum([len(part) for part in self.deleted])
        self.inserted = np.split(waiting[:parts[-1]], parts[:-1])
        self.repeated = max(0, 2 * base.rows - base.pool)

    def truth(self, engine, number):
        """After so many rounds; of no other rows than the engine has."""
        ids = np.sort(engine.present)
        if number not in self.truths:
            self.truths[number] = ids, Truth(self.dataset, ids)
        same, truth = self.truths[number]
        assert np.array_equal(ids, same)
        return truth


def turnover(bases, dataset, args):
    """By name: recall and size after each round, and afresh."""
    plan = Turnover(dataset, bases[BARE])
    names = [name for name in args.turnover if name in bases]
    return names and {
        "clients": TURNOVER_CLIENTS, "repeated_rows": plan.repeated,
        "engines": {name: turn_over(bases[name], dataset, plan)
                    for name in names}}


def turn_over(base, dataset, plan):
    def look(number):
        return {"round": number, "index_bytes": engine.index_bytes(),
                "recall": plan.truth(engine, number).recall(
                    engine.find(engine.default_width))}

    with base.copy("turnover") as engine, Bar(TURNOVER_ROUNDS) as bar:
        rounds = [look(0)]
        for number, (old, new) in enumerate(
                zip(plan.deleted, plan.inserted), 1):
            with bar.step(f"{base.name}, round {number}") as tell:
                engine.delete(old)
                run = engine.insert_these(TURNOVER_CLIENTS, new, tell)
                seconds, cpu = engine.vacuum()
                rounds.append({**look(number), "tps": run.tps,
                               "vacuum_seconds": seconds,
                               "vacuum_cpu_seconds": cpu})
        wrong = engine.check()
        turned = at_widths(engine, plan.truth(engine, TURNOVER_ROUNDS))
        about = engine.describe().get("index")
        engine.execute("DROP INDEX items_index")
        engine.build(dataset)
        engine.cache()
        fresh = at_widths(engine, plan.truth(engine, TURNOVER_ROUNDS))
        return {"rounds": rounds, "turned": turned, "fresh": fresh,
                "wrong": wrong, "index": about,
                "fresh_index": engine.describe().get("index")}


def at_widths(engine, truth):
    return {"index_bytes": engine.index_bytes(),
            "recall": truth.recall(engine.find(engine.default_width)),
            "at": {str(width): truth.recall(engine.find(width))
                   for width in WIDTHS}}


def vacuum(bases, _dataset, args):
    """By name: medians of some rounds; the first decides for pgvector, whose
    VACUUM takes so long."""
    names = indexed(bases)
    number_of_rounds = (args.rounds + 1) // 2
    rng = np.random.default_rng(SEED)
    rounds = {name: [] for name in names}
    # Three times as many rows as a run of inserts: VACUUM is between
    count = fair_share(bases, args.inserts, 3)
    with Bar(5 * (len(names) + number_of_rounds - 1)) as bar:
        for number in range(number_of_rounds):
            condemned = rng.permutation(bases[BARE].rows)[
                :int(VACUUM_DELETE * bases[BARE].rows)]
            for name in names if not number else ("descartes",):
                if name in bases:
                    rounds[name].append(vacuum_once(
                        bases[name], condemned, count, bar))
    return {"rows": count, "deleted": len(condemned), "engines": {
        name: {key: some[0][key] and median(r[key] for r in some)
               for key in some[0]}
        | {"rounds": some} for name, some in rounds.items()}}


def vacuum_once(base, condemned, count, bar):
    def step(what, work, *arguments):
        with bar.step(f"{base.name}, {what}") as tell:
            return work(*arguments, *([tell] if arguments else []))

    with base.copy("vacuum") as engine:
        engine.execute("CHECKPOINT")
        before = step("inserts", engine.insert, 1, count).tps
        engine.delete(condemned)
        first, first_cpu = step("the first VACUUM", engine.vacuum)
        engine.execute("CHECKPOINT")
        between = step("inserts", engine.insert, 1, count).tps
        second, second_cpu = step("the second VACUUM", engine.vacuum)
        engine.execute("CHECKPOINT")
        after = step("inserts", engine.insert, 1, count).tps
        return {"first": first, "second": second, "both": first + second,
                "cpu": first_cpu and first_cpu + second_cpu,
                "tps": before, "tps_between": between, "tps_after": after,
                "between": between / before, "after": after / before}


def stream(bases, dataset, _args):
    """By how the index came about: recall by width, and hops."""
    if "descartes" not in bases:
        return None
    ways = {"single rows": fill_singly, "COPY": fill_by_copy,
            "INSERT ... SELECT": fill_by_select}
    truth = Truth(dataset, np.arange(bases[BARE].rows))
    with bases["descartes"].copy("stream") as engine:
        built = look_closely(engine, truth)
    streamed = {}
    with Bar(len(ways)) as bar:
        for way, fill in ways.items():
            with bases["descartes"].copy("stream") as engine, \
                    bar.step(way) as tell:
                engine.execute("DROP INDEX items_index")
                engine.execute("TRUNCATE items")
                engine.build(dataset)
                run = fill(engine, dataset, tell)
                engine.execute("VACUUM ANALYZE items")
                engine.cache()
                streamed[way] = {"tps": run and run.tps,
                                 **look_closely(engine, truth),
                                 "wrong": engine.check()}
    return {"clients": STREAM_CLIENTS, "built": built, "streamed": streamed}


def fill_singly(engine, _dataset, tell):
    engine.next, engine.present = 0, np.arange(0)
    each = engine.rows // STREAM_CLIENTS * STREAM_CLIENTS
    run = engine.insert(STREAM_CLIENTS, each, tell)
    if each < engine.rows:
        engine.insert(1, engine.rows - each)
    return run


def fill_by_copy(engine, dataset, tell):
    vectors = dataset.train[:engine.rows]
    with engine.connection.cursor() as cursor, \
            cursor.copy("COPY items FROM STDIN (FORMAT binary)") as rows:
        rows.write(hdf5_to_pg.COPY_HEADER)
        for at in range(0, len(vectors), BATCH):
            rows.write(hdf5_to_pg.binary_rows(
                at, vectors[at:at + BATCH], hdf5_to_pg.ELEMENTS["vector"]))
            tell(at / len(vectors))
        rows.write(hdf5_to_pg.COPY_TRAILER)


def fill_by_select(engine, _dataset, _tell):
    engine.execute("INSERT INTO items SELECT * FROM pool"
                   f" WHERE id < {engine.rows} ORDER BY id")


def look_closely(engine, truth):
    """Recall and hops by width, until the recalls are reached at which hops
    are compared; and the index' own account."""
    engine.widths()             # loads the library
    inline = engine.value("SELECT vectors_inline"
                          " FROM descartes_index_stats('items_index')")
    curve = []
    for width in HOPS_WIDTHS:
        recall = truth.recall(engine.find(width))
        engine.set_width(width)
        curve.append({"width": width, "recall": recall,
                      "hops": engine.buffers(engine.queries)[0]
                      if inline else None})
        if recall >= HOPS_AT[-1] and width >= WIDTHS[-1]:
            break
    at = {str(point["width"]): point["recall"] for point in curve
          if point["width"] in WIDTHS}
    return {"recall": truth.recall(engine.find(engine.default_width)),
            "at": at, "curve": curve, "index_bytes": engine.index_bytes(),
            "hops": {str(target): hops_at(curve, target)
                     for target in HOPS_AT},
            "index": engine.describe().get("index")}


def hops_at(curve, target):
    """Hops of a search with that recall, between two widths: as the misses
    fall with a power of them.  If no width has less recall, those of the
    shortest, as a bound."""
    before = None
    for point in curve:
        if point["hops"] is None:
            return None
        if point["recall"] >= target:
            if before is None:
                return {"hops": point["hops"], "bound": True}
            near, wide, goal = (log(max(1 - recall, LEAST_MISSES))
                                for recall in (before["recall"],
                                               point["recall"], target))
            share = (near - goal) / (near - wide)
            return {"hops": before["hops"] * (
                point["hops"] / before["hops"]) ** share, "bound": False}
        before = point
    return None
