"""The data sets of the measuring programs: vectors, queries, and the truth.

Files are HDF5 as of ANN-Benchmarks, or the words of bench/data.
"""
import glob
import gzip
import os
import sys

import h5py
import numpy as np

from hdf5_to_pg import exact_neighbors, perturbed

K = 10                          # neighbours of a query
TRUTH = 100                     # neighbours known of each query
TOLERANCE = 1e-6                # of distances, relative
NOISE = "+noise"                # suffix of a set: values with full mantissas
NOISE_SEED = 1
WORDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data",
                     "words.tsv.gz")


def read_text(path, rows):
    """Vectors in the text format of COPY: a key, a tab, the vector."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        vectors = [line.partition("\t")[2].strip()[1:-1].split(",")
                   for line, _ in zip(file, range(rows or sys.maxsize))]
    return np.array(vectors, np.float32)


def spread(values):
    """An order of which every beginning is spread evenly over the values."""
    bits = (len(values) - 1).bit_length()
    ranks = [int(format(i, f"0{bits}b")[::-1], 2) for i in range(1 << bits)]
    return np.argsort(values, kind="stable")[
        [rank for rank in ranks if rank < len(values)]]


class Dataset:
    """Vectors and queries of a file, and the true neighbours.

    A returned row is right if its distance is at most that of the true k-th,
    so ties count.  The queries are in an order of which the first so many are
    a fair sample: spread over the distances of their k-th neighbours.
    """

    def __init__(self, spec, args):
        path = spec.removesuffix(NOISE)
        if path.endswith(".hdf5"):
            neighbors, distances = self.read_hdf5(path, args)
        else:
            neighbors, distances = self.read_words(path, args)
        self.name += spec[len(path):]
        if path != spec:
            rng = np.random.default_rng(NOISE_SEED)
            self.train = perturbed(self.train, rng)
            self.test = perturbed(self.test, rng)
        if path != spec or neighbors is None:
            neighbors, distances = exact_neighbors(self.train, self.test,
                                                   self.angular, TRUTH)
        self.operator = "<=>" if self.angular else "<->"
        self.opclass = "vector_cosine_ops" if self.angular else "vector_l2_ops"
        # Measured as the answers will be: a file's may be of less precision
        farthest = np.max(self.distances(neighbors[:, :K]), axis=1)
        order = spread(farthest)
        self.test, self.farthest = self.test[order], farthest[order]
        self.truth = neighbors[order], distances[order]

    def read_hdf5(self, path, args):
        """The truth is None where the file's is that of more rows."""
        self.name = os.path.basename(path).removesuffix(".hdf5")
        with h5py.File(path, "r") as file:
            self.train = file["train"][:args.rows]
            self.test = file["test"][:args.queries]
            self.angular = file.attrs["distance"] == "angular"
            if len(file["train"]) != len(self.train):
                return None, None
            return (file["neighbors"][:args.queries],
                    file["distances"][:args.queries])

    def read_words(self, path, args):
        self.name, self.angular = "words", True
        self.train = read_text(path, args.rows)
        self.test = read_text(os.path.join(os.path.dirname(path),
                                           "queries.tsv.gz"), args.queries)
        return None, None

    def distances(self, ids):
        """Of each query to the rows ids, in float64; infinite for id -1."""
        result = np.empty(ids.shape)
        for i, query in enumerate(self.test.astype(np.float64)):
            rows = self.train[ids[i]].astype(np.float64)
            if self.angular:
                result[i] = 1 - rows @ query / (np.linalg.norm(rows, axis=1)
                                                * np.linalg.norm(query))
            else:
                result[i] = np.linalg.norm(rows - query, axis=1)
        result[ids < 0] = np.inf
        return result

    def recall(self, ids):
        bound = self.farthest * (1 + TOLERANCE)
        return float(np.mean(self.distances(ids) <= bound[:, None]))

    def write_floats(self, path):
        """The rows, then the queries, of unit length where that is all the
        same to the metric."""
        with open(path, "wb") as file:
            for part in (self.train, self.test):
                part = part.astype(np.float32)
                if self.angular:
                    norms = np.linalg.norm(part, axis=1, keepdims=True)
                    part /= np.maximum(norms, 1e-30)
                part.tofile(file)

    def describe(self):
        return {"name": self.name, "rows": len(self.train),
                "queries": len(self.test), "dimensions": self.train.shape[1],
                "metric": self.operator, "k": K}

    def __str__(self):
        return (f"{self.name}: {len(self.train):,} rows,"
                f" {len(self.test):,} queries, {self.train.shape[1]}"
                f" dimensions, {self.operator}")


def find_files(files, sets, default=None):
    """The data sets that are asked for, by file or by how their names begin;
    else those that begin with default, else all.  Where there are no large
    sets: the words."""
    directory = os.environ.get("DESCARTES_DATA", "")
    there = sorted(glob.glob(os.path.join(directory, "*.hdf5"))
                   if directory else [])
    wanted = list(files)
    for name in filter(None, (sets or "").split(",")):
        plain = name.removesuffix(NOISE)
        found = [f for f in there if os.path.basename(f).startswith(plain)]
        if not found and plain == "words":
            found = [WORDS]
        if not found:
            sys.exit(f"no data set {plain} in"
                     f" {directory or 'DESCARTES_DATA, which is not set'}")
        wanted += [f + name[len(plain):] for f in found]
    wanted = wanted or [f for f in there if not default
                        or os.path.basename(f).startswith(default)] or [WORDS]
    for file in wanted:
        if not os.access(file.removesuffix(NOISE), os.R_OK):
            sys.exit(f"cannot read {file.removesuffix(NOISE)}")
    return wanted
