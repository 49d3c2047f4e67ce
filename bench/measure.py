"""What the measuring programs share: options, the machine, the results.

bench/measure.sh starts them (compare.py, clients.py, cold.py, growth.py,
living.py), each with a server to measure in; the scripts have the description
of the options.
"""
import argparse
import json
import os
import platform
import signal
import sys
from contextlib import contextmanager
from time import perf_counter, strftime


def parser(script):
    """The options that all take."""
    result = argparse.ArgumentParser(usage=f"see bench/{script}.sh --help")
    result.add_argument("files", nargs="*")
    result.add_argument("--sets")
    result.add_argument("--rows", type=int)
    result.add_argument("--queries", type=int)
    result.add_argument("--quick", action="store_true")
    result.add_argument("--rounds", type=int)
    result.add_argument("--seconds", type=float)
    result.add_argument("--storage",
                        choices=("plain", "main", "external", "extended"))
    result.add_argument("--dsn", default="")
    result.add_argument("--keep", action="store_true")
    result.add_argument("--output", default=".")
    result.add_argument("--revision", default="")
    return result


def parse(parser_, engines, quick, otherwise, default=None):
    """Parses; what was not given is as in quick, or otherwise; the engines
    all, or the default."""
    parser_.add_argument("--engines", default=",".join(default or engines))
    args = parser_.parse_args()
    for name in args.engines.split(","):
        if name not in engines:
            parser_.error(f"no engine {name}, only {', '.join(engines)}")
    for name, value in (quick if args.quick else otherwise).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    # By way of exceptions, so that databases and processes are ended
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return args


def say(text):
    print(text, flush=True)


@contextmanager
def stage(seconds, name):
    """Adds what the with block takes, under that name."""
    started = perf_counter()
    try:
        yield
    finally:
        seconds[name] = (seconds.get(name, 0) + perf_counter() - started)


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
            "options": {name: value for name, value in vars(args).items()
                        if isinstance(value, (str, int, float, list))
                        and name not in ("dsn", "output", "revision")}}


class Results:
    """NAME.json and NAME.txt, written anew with every data set."""

    def __init__(self, args, name, **about):
        self.path = os.path.join(args.output, name)
        self.content = {"machine": {**machine(args), **about}, "sets": []}
        self.tables = []
        if os.getloadavg()[0] > 0.5:
            say("warning: this machine is not idle (load average"
                f" {os.getloadavg()[0]:.1f}): QPS and seconds below mean"
                " little")

    def add(self, result, table):
        self.content["sets"].append(result)
        self.tables.append(table)
        say(table)
        with open(self.path + ".json", "w", encoding="utf-8") as out:
            json.dump(self.content, out, indent=1)
        with open(self.path + ".txt", "w", encoding="utf-8") as out:
            print(*self.tables, sep="\n", file=out)


def number(value, form, width, none="-"):
    """A cell of a table."""
    return (none if value is None else format(value, form)).rjust(width)
