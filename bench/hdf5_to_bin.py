#!/usr/bin/python3
"""Write a data set of the ANN-Benchmarks schema as plain float32 files.

    hdf5_to_bin.py FILE PREFIX [--rows N] [--queries N] [--pool] [--pca [D]]

Writes PREFIX.base and PREFIX.queries for bench_graph and bench_layout: two
uint32, rows and dimension, then the rows as float32.  Vectors of an "angular"
set are normalized, so that Euclidean distance orders them as cosine does.

--pool halves both sides of square pictures by the mean of 2 x 2 pixels; --pca
gives the coordinates along the D first principal axes of the base (without D:
all), largest variance first.  Both make realistic sets of other dimensions.
"""
import argparse

import h5py
import numpy as np

SAMPLE = 20000                  # rows that the principal axes come from


def read_set(path, rows, queries):
    with h5py.File(path, "r") as f:
        base = f["train"][:rows].astype(np.float32)
        test = f["test"][:queries].astype(np.float32)
        angular = f.attrs["distance"] == "angular"
    if angular:
        base /= np.linalg.norm(base.astype(np.float64), axis=1)[:, None]
        test /= np.linalg.norm(test.astype(np.float64), axis=1)[:, None]
    return base, test


def pool(vectors):
    side = int(round(vectors.shape[1] ** 0.5))
    half = side // 2
    tiles = vectors.reshape(len(vectors), half, 2, half, 2)
    return tiles.mean(axis=(2, 4)).reshape(len(vectors), half * half)


def principal_axes(base, dim):
    sample = base[np.random.default_rng(1).permutation(len(base))[:SAMPLE]]
    mean = sample.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(np.cov(sample - mean, rowvar=False))
    return mean, axes[:, ::-1][:, :dim]


def write(path, vectors):
    vectors = np.ascontiguousarray(vectors, np.float32)
    with open(path, "wb") as f:
        np.array(vectors.shape, np.uint32).tofile(f)
        vectors.tofile(f)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("prefix")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--pool", action="store_true")
    parser.add_argument("--pca", type=int, nargs="?", const=0)
    args = parser.parse_args()
    base, test = read_set(args.file, args.rows, args.queries)
    if args.pool:
        base, test = pool(base), pool(test)
    if args.pca is not None:
        mean, axes = principal_axes(base, args.pca or base.shape[1])
        base, test = (base - mean) @ axes, (test - mean) @ axes
    write(args.prefix + ".base", base)
    write(args.prefix + ".queries", test)


if __name__ == "__main__":
    main()
