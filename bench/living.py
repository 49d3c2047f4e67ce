"""Measures what changes cost and what they do to the index.  bench/living.sh
starts it, with a server to do it in, and has the description of the options
and of the parts."""
import tempfile
from copy import copy
from time import perf_counter

import living_parts
from compare_engines import BUILD_SETTINGS, SEARCH_SETTINGS, Unavailable
from datasets import Dataset, find_files
from living_engine import BARE, Living
from living_report import check_targets, report
from measure import Results, parse, parser, say, stage

SQL_ENGINES = "descartes", "pgvector"
PARTS = {name: getattr(living_parts, name) for name in
         ("inserts", "writers", "wal", "turnover", "vacuum", "stream")}
MOST_PRESENT = 5 / 6            # of a set; the others are to be inserted


def take_part(dataset, args, result):
    """The table without an index, and those with one: to be copied."""
    bases = {}
    for name in (BARE, *args.engines.split(",")):
        base = Living(name, args)
        try:
            started = perf_counter()
            base.prepare(dataset, args)
            base.rest()
            say(f"  {name}: ready in {perf_counter() - started:.1f} s")
            bases[name] = base
        except Unavailable as reason:
            base.close()
            result["notes"].append(f"{name} left out: {reason}")
            say("  " + result["notes"][-1])
        except BaseException:
            base.close()
            raise
    return bases


def measure(file, args):
    whole = copy(args)
    whole.rows = None
    dataset = Dataset(file, whole)
    args = copy(args)
    args.rows = min(args.rows, int(MOST_PRESENT * len(dataset.train)))
    result = {**dataset.describe(), "rows": args.rows,
              "set_rows": len(dataset.train), "notes": [], "seconds": {},
              "parts": {}}
    say(f"\n{dataset}; the table begins with {args.rows:,}")
    bases = {}
    try:
        with stage(result["seconds"], "load and build"):
            bases = take_part(dataset, args, result)
        for name in args.what:
            say(f"  {name}")
            with stage(result["seconds"], name):
                result["parts"][name] = PARTS[name](bases, dataset, args)
    finally:
        for base in bases.values():
            base.close()
    result["engines"] = {
        name: {**base.details, "options": base.options}
        for name, base in bases.items()}
    result["notes"] += dict.fromkeys(
        f"{name}: {notice}" for name, base in bases.items()
        for notice in base.notices)
    result["targets"] = check_targets(result)
    return result


def parse_arguments():
    options = parser("living")
    options.add_argument("--what", default=",".join(PARTS))
    options.add_argument("--inserts", type=int)
    options.add_argument("--turnover", default="descartes")
    args = parse(options, SQL_ENGINES,
                 {"rows": 10000, "queries": 200, "rounds": 1, "inserts": 96},
                 {"rows": 100000, "rounds": 5, "inserts": 1000})
    args.what = args.what.split(",")
    for name in args.what:
        if name not in PARTS:
            options.error(f"no part {name}, only {', '.join(PARTS)}")
    args.turnover = [name for name in args.turnover.split(",")
                     if name in args.engines.split(",")]
    args.wal_inserts = 1000 if args.quick else 10000
    return args


def main():
    args = parse_arguments()
    results = Results(args, "living", search_settings=SEARCH_SETTINGS,
                      build_settings=BUILD_SETTINGS)
    with tempfile.TemporaryDirectory() as args.scratch:
        for file in find_files(args.files, args.sets, "sift-128"):
            result = measure(file, args)
            results.add(result, report(result))


if __name__ == "__main__":
    main()
