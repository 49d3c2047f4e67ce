#!/usr/bin/env bash
#
# How the build of fng grows with the number of rows: seconds, memory and
# temporary files of CREATE INDEX on an eighth, a quarter, half and all of a
# set.
#
#	bench/growth.sh [OPTIONS] [FILE...]
#
# A file is HDF5 as of ANN-Benchmarks; by default sift-128 of $DESCARTES_DATA
# or of ../shared/data (50,000 to 400,000 rows), else the words of bench/data.
# Prints a table, and leaves growth.txt and growth.json.
#
#	--sets NAME,...		sets of that folder, by how their names begin
#	--rows N			the first N rows only; of fewer, the first, too
#	--queries N			the recall is that of N queries (200)
#	--quick				10,000 rows: to see that all works, not to quote
#	--engines NAME,...	of descartes,pgvector; the first is the default
#	--memory SETTING	maintenance_work_mem (1GB)
#	--workers N			parallel workers beside the leader (1)
#	--rounds N			builds of each, the fastest counts (1)
#	--storage WORD		of the vectors: plain, main, external or extended; by
#						default plain where the row fits a page, else external
#	--dsn CONNINFO		measure there, as a superuser, in databases compare_...
#	--keep				keep the databases (of the private server: its directory)
#	--output DIR		where to leave the results (bench/results)
#
# Without --dsn this builds descartes from a private copy of the tree, starts a
# throw-away server, and removes all of it (test/environment.sh).
#
#	time/n log n	the seconds over n * log2(n), relative to the smallest; the
#					target is 1.15 at most
#	procs			processes that took part
#	build MB		the most memory at a time: of the processes alone, and once
#					what they share for the build and map of temporary files;
#					not the shared buffers
#	temp MB			the most bytes of temporary files at a time
#	recall			of the index at its default width, for comparison

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/bench/measure.sh"

measure growth "sets rows queries engines memory workers rounds storage dsn" "$@"
