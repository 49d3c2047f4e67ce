#!/usr/bin/python3
"""Cut the demo's data from the word vectors of the test sets.

    cut.py words-100-angular.hdf5 words-100.txt DICTIONARY [OUTDIR]

writes, beside this file or to OUTDIR,

    words.tsv.gz    word, vector    the words that DICTIONARY has, too
    queries.tsv.gz  id, vector      the held-out queries, all of them

in the text format of COPY, so that psql and zcat load them and a person can
read them.  DICTIONARY is a list of words, one a line; the shipped files were
cut with Debian's wamerican-small (American English, size 35), which leaves
common words, whose neighbours anybody can judge.  Needs python3-h5py.

A coordinate is rounded to two decimals: against a mean vector length of
three that moves no distance by more than some thousandths, and the demo
computes its own exact answers from these very files.
"""
import gzip
import os
import sys

import h5py

# Words that the demo asks for: a cut without them is no use.
WANTED = ("river", "war")


def coordinate(x):
    """The shortest text of x to two decimals: 0, 0.25, -1.5."""
    text = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def write(path, rows):
    """Write rows of (key, vector) as gzip'd COPY text, the same bytes each time."""
    with open(path, "wb") as raw, \
            gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        for key, vector in rows:
            values = ",".join(coordinate(float(x)) for x in vector)
            out.write(f"{key}\t[{values}]\n".encode("utf-8"))
    return os.path.getsize(path)


def main(vectors, words, dictionary, outdir):
    with open(dictionary, encoding="utf-8") as f:
        known = {line.strip() for line in f}
    with open(words, encoding="utf-8") as f:
        names = [line.rstrip("\n") for line in f]
    with h5py.File(vectors, "r") as f:
        train, test = f["train"][:], f["test"][:]

    kept = [(name, row) for name, row in zip(names, train)
            if name in known and name.isascii() and name.isalpha()]
    missing = set(WANTED) - {name for name, _ in kept}
    if missing:
        sys.exit(f"cut.py: not among the words: {', '.join(sorted(missing))}")

    total = write(os.path.join(outdir, "words.tsv.gz"), kept)
    total += write(os.path.join(outdir, "queries.tsv.gz"),
                   enumerate(test, start=1))
    print(f"{len(kept)} words, {len(test)} queries, {total} bytes")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:4], sys.argv[4] if len(sys.argv) == 5
         else os.path.dirname(os.path.abspath(__file__)))
