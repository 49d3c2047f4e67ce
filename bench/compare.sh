#!/usr/bin/env bash
#
# Compares descartes with pgvector's hnsw, and with hnswlib and FAISS' HNSW in
# memory: recall, queries per second, latencies, build time and size, on the
# same rows in the same run.  How long that takes is printed with each set.
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
#	--rounds N			the settings that matter are timed N times, the best
#						counts (3)
#	--seconds S			... for about S seconds each (0.3)
#	--client S			a client asks for S seconds at each setting of the last
#						table, in each round (1); 0: no client
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
# query or JIT.
#
# A sweep goes on until a recall of .999 is reached, or the search width is
# 4,000, or the engine's limit (pgvector: 1,000); then what is between two
# widths is looked at, where their recall differs by more than .01 (from .93
# on), or .002 across a recall of .95 and .99, or .0005 across .999.  The recall
# of every width is that over all queries; they are searched for by as many
# processes or threads as there are CPUs.
#
# The engines are timed by one process or thread, in turn, width by width, round
# by round, the first round for the plot, with all widths of the sweep; the
# others have those on which the answers depend: the default, the shortest, and
# at each recall the last width that misses it, the first two that reach it,
# and the fastest that does.  The best round of a width counts.  A pass is over
# all queries if that takes no longer than --seconds, and repeated until then.
# Else it is over the first so many, but no fewer than 200, in every round; the
# queries are in an order, the same for all engines, in which the first ones
# are spread evenly over the distances of the 10th neighbours.  (Widths for the
# plot alone: a third of the seconds, 100 queries.)  The table has the numbers
# of rounds and queries.
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
#	p50 ... p99	of single queries, in a pass of their own, over 400 at least: a
#				loop in PL/pgSQL in that backend, over a planned statement, by
#				clock_timestamp(); in memory a loop over single calls
#	hops		nodes expanded by a query; of fng the pages of the index that it
#				touches, one each, besides the metapage
#	buffers		pages touched by a query, of index and table
#	build s		CREATE INDEX; of those in memory from rows in memory on.  A line
#				"/ NAME" has how many times that engine's the figures of
#				descartes are
#	procs		processes that took part in the build (in memory: threads)
#	build MB	the most memory of a build, by looking every 50 ms: that of the
#				backend and its workers alone, and once what they share for the
#				build and map of temporary files; not the shared buffers.  In
#				memory: of the process, with the rows
#	temp MB		the most bytes of temporary files (pgsql_tmp), likewise

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/bench/measure.sh"

measure compare "sets rows queries engines variant rounds seconds client storage dsn" "$@"
