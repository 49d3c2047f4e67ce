#!/usr/bin/python3
"""Tables from the lines of bench_layout: which code and degree needs the
fewest hops within a share of a page.

    layout_table.py [--vector f32|f16] [--best N] FILE...

Per set and number of slots per page the best configurations are listed by
hops at recall@10 of 0.99, each with the mean of its hops at 0.95 and 0.99
relative to the set's best at any size.
"""
import argparse
import collections

SLOTS = (6, 5, 4, 3, 2, 1)


def number(text):
    return float("inf") if text == "-" else float(text)


def read(paths):
    sets = collections.OrderedDict()
    for path in paths:
        head = None
        for line in open(path):
            fields = line.rstrip("\n").split("\t")
            if fields[0] == "set":
                head = fields
            elif head and len(fields) == len(head):
                row = dict(zip(head, fields))
                sets.setdefault((row["set"], row["setting"]), []).append(row)
    return sets


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vector", default="f32", choices=("f32", "f16"))
    parser.add_argument("--best", type=int, default=4)
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    slots = args.vector + "_per_page"
    for (name, setting), rows in read(args.files).items():
        least95 = min(number(r["hops95"]) for r in rows)
        least99 = min(number(r["hops99"]) for r in rows)
        print("%s, n %s, d %s, inline %s, setting %s"
              % (name, rows[0]["n"], rows[0]["dim"], args.vector, setting))
        for per_page in SLOTS:
            fit = [r for r in rows if int(r[slots]) >= per_page]
            fit.sort(key=lambda r: number(r["hops99"]))
            for row in fit[:args.best]:
                cost = (number(row["hops95"]) / least95
                        + number(row["hops99"]) / least99) / 2
                print("  1/%d page  R %3s  B %s  m %4s  noise %s"
                      "  hops %6s %6s  scored %5s %5s  x%.2f"
                      % (per_page, row["R"], row["B"], row["m"], row["noise"],
                         row["hops95"], row["hops99"], row["scored95"],
                         row["scored99"], cost))


if __name__ == "__main__":
    main()
