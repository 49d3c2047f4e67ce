#!/usr/bin/python3
"""Load a data set of the ANN-Benchmarks schema into PostgreSQL.

    hdf5_to_pg.py FILE [--table NAME] [--dbname NAME] ...

Creates two tables, dropping what had their names:

    NAME            id int, embedding TYPE(d)
    NAME_queries    id int, embedding TYPE(d), neighbors int[], distances real[]

id counts rows from 0, as neighbors does.  neighbors and distances are the
exact nearest rows of each query, nearest first, as the file has them; with
--rows or --perturb they are computed here.  A distance is Euclidean, or one
minus the cosine where the file is "angular".

Rows go through psql as binary COPY, so that the connection is psql's own
(PGHOST, PGPORT and so on; --dbname takes a connection string, too).  Needs
python3-h5py, and an extension with the type in the database.
"""
import argparse
import subprocess
import sys

import h5py
import numpy as np

INT4_OID, FLOAT4_OID = 23, 700
BATCH = 4096                    # rows per write
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"

# The element of each type's binary format: dimension, unused, elements
ELEMENTS = {"vector": ">f4", "halfvec": ">f2"}


def array_field(name, element, count):
    """Fields of a one-dimensional array in binary format, without values."""
    return [(name + "_size", ">i4"), (name + "_ndim", ">i4"),
            (name + "_null", ">i4"), (name + "_oid", ">i4"),
            (name + "_dim", ">i4"), (name + "_base", ">i4"),
            (name, [("size", ">i4"), ("value", element)], (count,))]


def fill_array(rows, name, oid, values):
    rows[name + "_size"] = rows[name].dtype.itemsize * values.shape[1] + 20
    rows[name + "_ndim"], rows[name + "_null"] = 1, 0
    rows[name + "_oid"], rows[name + "_dim"] = oid, values.shape[1]
    rows[name + "_base"] = 1
    rows[name]["size"], rows[name]["value"] = 4, values


def binary_rows(first, vectors, element, truth=None):
    """The rows in the binary format of COPY, ids from first on."""
    n, dim = vectors.shape
    fields = [("fields", ">i2"), ("id_size", ">i4"), ("id", ">i4"),
              ("size", ">i4"), ("dim", ">u2"), ("unused", ">u2"),
              ("embedding", element, (dim,))]
    if truth is not None:
        fields += array_field("neighbors", ">i4", truth[0].shape[1])
        fields += array_field("distances", ">f4", truth[1].shape[1])
    rows = np.zeros(n, np.dtype(fields))
    rows["fields"], rows["id_size"] = 2 if truth is None else 4, 4
    rows["id"] = np.arange(first, first + n)
    rows["size"] = 4 + dim * np.dtype(element).itemsize
    rows["dim"], rows["embedding"] = dim, vectors
    if truth is not None:
        fill_array(rows, "neighbors", INT4_OID, truth[0])
        fill_array(rows, "distances", FLOAT4_OID, truth[1])
    return rows.tobytes()


def exact_neighbors(train, test, angular, k):
    """The k nearest rows of each query and their distances, in float64.

    Candidates come from a matrix product in float32; twice as many as
    wanted are then measured afresh.
    """
    base = train.astype(np.float32)
    norms = np.linalg.norm(base, axis=1)
    if angular:
        base = base / np.maximum(norms, 1e-30)[:, None]
    half = np.zeros(len(base), np.float32) if angular else norms ** 2 / 2
    k = min(k, len(base))
    wide = min(2 * k, len(base))
    ids = np.empty((len(test), k), np.int32)
    distances = np.empty((len(test), k))
    for start in range(0, len(test), 64):
        block = test[start:start + 64].astype(np.float32)
        near = np.argpartition(half - block @ base.T, wide - 1, axis=1)
        for i, query in enumerate(test[start:start + 64].astype(np.float64)):
            some = near[i, :wide]
            rows = train[some].astype(np.float64)
            if angular:
                d = 1 - rows @ query / (np.linalg.norm(rows, axis=1)
                                        * np.linalg.norm(query))
            else:
                d = np.linalg.norm(rows - query, axis=1)
            order = np.argsort(d, kind="stable")[:k]
            ids[start + i], distances[start + i] = some[order], d[order]
    return ids, distances


def perturbed(vectors, rng):
    """Full mantissas: each value moved by up to 1/1000 of the deviation."""
    spread = np.std(vectors[:10000].astype(np.float64)) / 1000
    noise = rng.uniform(-spread, spread, vectors.shape)
    return (vectors + noise).astype(np.float32)


def psql(args, sql, pieces=()):
    """Run psql on sql; pieces of bytes go to its standard input."""
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]
    if args.dbname:
        command += ["-d", args.dbname]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            for piece in pieces:
                process.stdin.write(piece)
            process.stdin.close()
        except BrokenPipeError:
            pass                # psql has said why
    if process.returncode != 0:
        sys.exit(f"hdf5_to_pg.py: psql failed: {sql}")


def storage_for(size):
    """Vectors stay in the row, uncompressed, as long as a page takes it."""
    return "plain" if size < 8000 else "external"


def load(args, table, vectors, truth=None):
    columns = f"id int PRIMARY KEY, embedding {args.type}({vectors.shape[1]})"
    if truth is not None:
        columns += ", neighbors int[], distances real[]"
    storage = args.storage or storage_for(
        vectors.shape[1] * np.dtype(ELEMENTS[args.type]).itemsize)
    psql(args, "SET client_min_messages = warning;"
         f" DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns});"
         f" ALTER TABLE {table} ALTER embedding SET STORAGE {storage}")

    def pieces():
        yield COPY_HEADER
        for at in range(0, len(vectors), BATCH):
            part = slice(at, at + BATCH)
            yield binary_rows(at, vectors[part], ELEMENTS[args.type],
                              truth and (truth[0][part], truth[1][part]))
        yield COPY_TRAILER

    psql(args, f"COPY {table} FROM STDIN (FORMAT binary)", pieces())
    psql(args, f"ANALYZE {table}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--table", default="items")
    parser.add_argument("--dbname", default="")
    parser.add_argument("--type", default="vector", choices=ELEMENTS)
    parser.add_argument("--storage",
                        choices=("plain", "main", "external", "extended"),
                        help="of the column (default: plain if that fits)")
    parser.add_argument("--rows", type=int, help="the first rows only")
    parser.add_argument("--perturb", type=int, metavar="SEED",
                        help="add noise, so that values need full mantissas")
    args = parser.parse_args()

    with h5py.File(args.file, "r") as f:
        train, test = f["train"][:args.rows], f["test"][:]
        truth = f["neighbors"][:], f["distances"][:]
        angular = f.attrs["distance"] == "angular"
    if args.perturb is not None:
        rng = np.random.default_rng(args.perturb)
        train, test = perturbed(train, rng), perturbed(test, rng)
    if args.perturb is not None or args.rows is not None:
        truth = exact_neighbors(train, test, angular, truth[0].shape[1])
    load(args, args.table, train)
    load(args, args.table + "_queries", test, truth)


if __name__ == "__main__":
    main()
