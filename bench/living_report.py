"""What the figures of a living index mean: the project's targets, and the
tables of all that."""
from living_engine import BARE
from living_parts import HOPS_AT, WIDTHS
from measure import number

INSERT_TIMES_PGVECTOR = 3
WAL_TIMES_PGVECTOR = 1
TURNOVER_RECALL, TURNOVER_TIMES_BYTES = 0.01, 1.4
VACUUM_TIMES_PGVECTOR = 3
STREAM_RECALL, STREAM_TIMES_HOPS = 0.005, 1.1
SAME = 0.95                     # of a rate that is to stay: see living.sh


class Checks(list):
    """What is wanted, and whether it is so."""

    def add(self, what, value, wanted, met):
        self.append({"what": what, "value": value, "wanted": wanted,
                     "met": met})

    def least(self, what, value, wanted, form=".2f"):
        if value is not None:
            self.add(what, format(value, form) + "x",
                     f">= {wanted:.2f}x", value >= wanted)

    def most(self, what, value, wanted):
        if value is not None:
            self.add(what, f"{value:.2f}x", f"<= {wanted:.2f}x",
                     value <= wanted)

    def no_less(self, what, recall, other, by):
        """Of recalls."""
        self.add(what, f"{recall:.4f}, {recall - other:+.4f}",
                 f">= {-by:+.3f}", recall - other >= -by)

    def right(self, what, wrong):
        self.add(what, wrong or "nothing found", "nothing", not wrong)


def check_targets(result):
    """The project's targets as far as this run can tell."""
    checks = Checks()
    for name, part in result["parts"].items():
        if part:
            CHECKS[name](checks, part)
    return list(checks)


def check_inserts(checks, part):
    for clients, ratio in part["ratios"].get("pgvector", {}).items():
        checks.least(f"inserts, clients: {clients}, pgvector's", ratio,
                     INSERT_TIMES_PGVECTOR)


def check_writers(checks, part):
    for what in ("alone", "busy"):
        checks.least(
            f"writers, {what}: the least of fewer",
            min(w["of_fewer"] for w in part[what]["writers"].values()
                if w["of_fewer"]), SAME)
        checks.right(f"writers, {what}: rows and index", part[what]["wrong"])


def check_wal(checks, part):
    both = [part["on"].get(name) for name in ("descartes", "pgvector")]
    if all(both):
        checks.most("WAL of an insert, pgvector's",
                    both[0]["bytes"] / both[1]["bytes"], WAL_TIMES_PGVECTOR)


def check_turnover(checks, part):
    mine = part["engines"].get("descartes")
    if mine:
        turned, fresh = mine["turned"], mine["fresh"]
        checks.no_less("recall after turnover, fresh", turned["recall"],
                       fresh["recall"], TURNOVER_RECALL)
        checks.most("bytes after turnover, fresh",
                    turned["index_bytes"] / fresh["index_bytes"],
                    TURNOVER_TIMES_BYTES)
        checks.right("turnover: rows and index", mine["wrong"])


def check_vacuum(checks, part):
    mine, other = (part["engines"].get(name)
                   for name in ("descartes", "pgvector"))
    if mine and other:
        checks.least("both VACUUMs faster than pgvector's",
                     other["both"] / mine["both"], VACUUM_TIMES_PGVECTOR)
    if mine:
        for when, which in (("between", "the first"),
                            ("after", "the second")):
            checks.least(f"inserts after {which} VACUUM, before",
                         mine[when], SAME)


def check_stream(checks, part):
    built = part["built"]
    for way, streamed in part["streamed"].items():
        width = min(WIDTHS, key=lambda w: streamed["at"][str(w)]
                    - built["at"][str(w)])
        checks.no_less(f"{way}: recall at {width}",
                       streamed["at"][str(width)], built["at"][str(width)],
                       STREAM_RECALL)
        for target in map(str, HOPS_AT):
            ratio = hops_ratio(streamed, built, target)
            if ratio is None and streamed["hops"][target] is None:
                checks.add(f"{way}: hops at {target}", "not reached",
                           f"<= {STREAM_TIMES_HOPS:.2f}x", False)
            checks.most(f"{way}: hops at {target}", ratio, STREAM_TIMES_HOPS)
        checks.right(f"{way}: rows and index", streamed["wrong"])


def hops_ratio(streamed, built, target):
    both = streamed["hops"][target], built["hops"][target]
    return both[0]["hops"] / both[1]["hops"] if all(both) else None


CHECKS = {"inserts": check_inserts, "writers": check_writers,
          "wal": check_wal, "turnover": check_turnover,
          "vacuum": check_vacuum, "stream": check_stream}


def megabytes(size):
    return f"{size / 2 ** 20:.1f}"


def table(head, *lines, first=20):
    """Lines of cells, of which the first is to the left."""
    widths = [max(len(str(line[i])) for line in (head, *lines)) + 2
              for i in range(len(head))]
    return ["  " + str(line[0]).ljust(max(first, widths[0])) + "".join(
        str(cell).rjust(width) for cell, width in zip(line[1:], widths[1:]))
        for line in (head, *lines)]


def times(value):
    return "-" if value is None else f"{value:.2f}"


RATE_HEAD = "tps", "p50 us", "p99 us", "CPU us", "least", "most"


def rate_cells(found):
    return (f"{found['tps']:,.0f}", f"{found['p50_us']:,.0f}",
            f"{found['p99_us']:,.0f}", number(found["cpu_us"], ",.0f", 0),
            f"{min(found['rounds']):,.0f}", f"{max(found['rounds']):,.0f}")


def inserts_lines(part):
    lines = []
    for name, by_clients in part["engines"].items():
        for clients, found in by_clients.items():
            ratio = part["ratios"].get(name, {}).get(clients)
            lines.append((name, clients, *rate_cells(found), times(ratio)))
    rounds = len(lines and found["rounds"])
    return [f"  inserts: {rounds} rounds of {part['rows']:,} rows", *table(
        ("", "clients", *RATE_HEAD, "descartes /"), *lines)]


def writers_lines(part):
    lines = []
    for what in ("alone", "busy"):
        for n, found in part[what]["writers"].items():
            lines.append((f"{what}, {n}", *rate_cells(found),
                          times(found["of_fewer"]),
                          number(found.get("reader_tps"), ",.0f", 0),
                          found.get("vacuums", "-"),
                          number(found.get("vacuum_seconds"), ".2f", 0)))
    return [f"  writers: descartes, runs of {part['rows']:,} rows", *table(
        ("writers", *RATE_HEAD, "of fewer", "reader tps", "VACUUMs",
         "most, s"), *lines)]


def wal_lines(part):
    lines = []
    for setting in ("on", "off"):
        mine = part[setting].get("descartes")
        for name, found in part[setting].items():
            ratio = (mine["bytes"] / found["bytes"]
                     if mine and found is not mine else None)
            lines.append((
                f"{setting}, {name}", f"{found['steps'][0]['bytes']:,.0f}",
                f"{found['bytes']:,.0f}",
                number(found["image_bytes"], ",.0f", 0),
                f"{found['records']:,.1f}", f"{found['images']:,.2f}",
                number(found["pages"], ",.1f", 0),
                number(found["pages_in_all"], ",", 0), times(ratio)))
    first = part["on"][BARE]["steps"][0]["rows"]
    return [f"  wal: full_page_writes on and off; for each of {part['rows']:,}"
            " rows inserted after a checkpoint", *table(
                ("", f"bytes, {first:,}", "bytes", "of images", "records",
                 "images", "pages", "in all", "descartes /"), *lines),
            "", *kinds_lines(part)]


def kinds_lines(part):
    """Where the bytes are; what is below 1 % not."""
    lines = []
    for setting in ("on", "off"):
        for name, found in part[setting].items():
            for kind, of in sorted(
                    found["kinds"].items(),
                    key=lambda k: -k[1]["bytes"] - k[1]["image_bytes"]):
                if of["bytes"] + of["image_bytes"] >= found["bytes"] / 100:
                    lines.append((f"{setting}, {name}", kind,
                                  f"{of['records']:.2f}",
                                  f"{of['bytes']:,.0f}",
                                  f"{of['image_bytes']:,.0f}"))
    return lines and table(("", "kind of record", "records", "bytes",
                            "of images"), *lines)


def turnover_lines(part):
    heads = ["round"]
    columns = [range(len(next(iter(part["engines"].values()))["rounds"]))]
    for name, found in part["engines"].items():
        heads += [f"{name}: recall", "MB", "tps", "VACUUM s"]
        columns += [[f"{r['recall']:.4f}" for r in found["rounds"]],
                    [megabytes(r["index_bytes"]) for r in found["rounds"]],
                    [number(r.get("tps"), ",.0f", 0)
                     for r in found["rounds"]],
                    [number(r.get("vacuum_seconds"), ".2f", 0)
                     for r in found["rounds"]]]
    lines = [f"  turnover: {part['clients']} clients"
             + (f"; {part['repeated_rows']:,} rows come again"
                if part["repeated_rows"] else ""),
             *table(heads, *zip(*columns), first=0), ""]
    ends = []
    for name, found in part["engines"].items():
        for what in ("turned", "fresh"):
            end = found[what]
            ends.append((f"{name}, {what}", f"{end['recall']:.4f}",
                         *(f"{end['at'][str(w)]:.4f}" for w in WIDTHS),
                         megabytes(end["index_bytes"]),
                         times(end["index_bytes"]
                               / found["fresh"]["index_bytes"])))
    return lines + table(("", "default", *(f"at {w}" for w in WIDTHS), "MB",
                          "of fresh"), *ends)


def vacuum_lines(part):
    mine = part["engines"].get("descartes")
    lines = []
    for name, found in part["engines"].items():
        ratio = found["both"] / mine["both"] if mine else None
        lines.append((
            name, *(number(found[key], ".2f", 0) for key in
                    ("first", "second", "both", "cpu")),
            times(ratio), *(f"{found[key]:,.0f}" for key in
                            ("tps", "tps_between", "tps_after")),
            times(found["between"]), times(found["after"])))
    return [f"  vacuum: {part['deleted']:,} rows deleted; rates of one client"
            f" over {part['rows']:,} rows", *table(
                ("", "first, s", "second", "both", "CPU, s", "/ descartes",
                 "tps before", "between", "after", "between/before",
                 "after/before"), *lines)]


def stream_lines(part):
    lines = []
    for way, found in {"CREATE INDEX": part["built"],
                       **part["streamed"]}.items():
        hops = []
        for target in map(str, HOPS_AT):
            at = found["hops"][target]
            hops += [f"{'<' if at['bound'] else ''}{at['hops']:.1f}"
                     if at else "-",
                     times(hops_ratio(found, part["built"], target))]
        lines.append((way, f"{found['recall']:.4f}",
                      *(f"{found['at'][str(w)]:.4f}" for w in WIDTHS), *hops,
                      megabytes(found["index_bytes"]),
                      number(found.get("tps"), ",.0f", 0)))
    heads = [head for t in HOPS_AT for head in (f"hops at {t}", "/ built")]
    return [f"  stream: descartes, into an empty index; single rows by"
            f" {part['clients']} clients", *table(
                ("", "default", *(f"at {w}" for w in WIDTHS), *heads, "MB",
                 "tps"), *lines)]


LINES = {"inserts": inserts_lines, "writers": writers_lines,
         "wal": wal_lines, "turnover": turnover_lines,
         "vacuum": vacuum_lines, "stream": stream_lines}


def report(result):
    """The tables of one data set, as text."""
    lines = ["", f"{result['name']}: {result['rows']:,} of"
             f" {result['set_rows']:,} rows, {result['queries']:,} queries,"
             f" {result['dimensions']} dimensions, {result['metric']},"
             f" recall@{result['k']}"]
    for name, part in result["parts"].items():
        if part:
            lines += ["", *LINES[name](part)]
    if result["targets"]:
        lines += ["", "  targets"]
    for check in result["targets"]:
        lines.append(f"  {'met' if check['met'] else 'MISSED':<9}"
                     f"{check['what']:<42}{check['value']}"
                     f"  (wanted: {check['wanted']})")
    lines += ["", "  seconds of this set: " + ", ".join(
        f"{what} {seconds:.0f}"
        for what, seconds in result["seconds"].items())]
    lines += ["  note: " + note for note in result["notes"]]
    return "\n".join(lines)
