#!/usr/bin/env bash
#
# Compares descartes with pgvector's hnsw, and with hnswlib and FAISS' HNSW in
# memory: recall, queries per second, latencies, build time and size, on the
# same rows in the same run.
#
#	bench/compare.sh [OPTIONS] [FILE...]
#
# The files are HDF5 as of ANN-Benchmarks; by default all in $DESCARTES_DATA or
# in ../shared/data, else the words of bench/data.  Prints tables for each, and
# leaves compare.txt, compare.json (all figures) and the plots compare.png and
# compare.svg: recall over queries per second.
#
#	--sets NAME,...		sets of that folder, by how their names begin; NAME+noise
#						is the same with noise added, for values that need their
#						full mantissas
#	--rows N			the first N rows only (the truth is computed anew)
#	--queries N			the first N queries only
#	--quick				10,000 rows, 200 queries, a coarse sweep, one round: to see
#						that all works, not to quote
#	--engines NAME,...	of descartes,pgvector,hnswlib,faiss, which is the default
#	--variant OPTIONS	also descartes WITH (OPTIONS); may be repeated
#	--rounds N			each setting is timed N times, the best counts (3)
#	--seconds S			... for S seconds at least (0.5)
#	--client S			a client asks for S seconds at each setting of the second
#						table, in each round (3); 0: no client
#	--storage WORD		of the vectors: plain, main, external or extended; by
#						default plain where the row fits a page, else external
#	--dsn CONNINFO		measure there, as a superuser, in databases compare_...:
#						the server has the extensions that it has
#	--keep				keep the databases (of the private server: its directory)
#	--output DIR		where to leave the results (bench/results)
#
# Without --dsn this builds descartes from a private copy of the tree, starts a
# throw-away server, and removes all of it (test/environment.sh).  An engine
# that is not installed is left out with a note: the extension vector on the
# server; libhnswlib-dev, libfaiss-dev and g++ for those in memory.  (FAISS is
# then the distribution's, compiled for any machine of this kind.)
#
# Rules, the same for both indexes: vectors stored plain, in the row, as far as
# a page takes it; fng at its defaults, hnsw with m = 16 and ef_construction =
# 200; maintenance_work_mem of 1 GB, leader and one worker (in memory: two
# threads); everything in shared buffers; no sequential scan, memoize, parallel
# query or JIT.  A sweep goes on until a recall of .999 is reached, or the
# search width is 4,000, or the engine's limit (pgvector: 1,000).
#
# The first table has all widths of the sweep; the last the default's and the
# fastest at recalls of .95, .99 and .999:
#
#	QPS			queries from a table through LATERAL, in one backend, in turn.
#				The floor is the same over fixed rows: distances, but no search
#	interp.		QPS at exactly that recall, between this setting and the next
#	client		pgbench, one client, a prepared statement that takes its query
#				from a table; pgbench and its backend have a CPU each.  The
#				ceiling is an empty SELECT in the same run
#	p50 ... p99	of single queries, in a pass of their own: a loop in PL/pgSQL in
#				that backend, over a planned statement, by clock_timestamp(); in
#				memory a loop over single calls
#	hops		nodes expanded by a query; of fng the pages of the index that it
#				touches, one each, besides the metapage
#	buffers		pages touched by a query, of index and table
#	build MB	the most memory of a build: backend and workers without shared
#				buffers; in memory the process, with the rows

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/bench/measure.sh"

measure compare "sets rows queries engines variant rounds seconds client storage dsn" "$@"
