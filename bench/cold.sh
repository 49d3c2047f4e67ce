#!/usr/bin/env bash
#
# Cold data: searches of an index ten times as large as shared buffers, with
# the operating system's cache empty before each query and with all in it, and
# what effective_io_concurrency does about it.
#
#	bench/cold.sh [OPTIONS] [FILE...]
#
# A file is HDF5 as of ANN-Benchmarks; by default words-100 of $DESCARTES_DATA
# or of ../shared/data, else the words of bench/data.  Prints a table, and
# leaves cold.txt and cold.json.
#
#	--sets NAME,...		sets of that folder, by how their names begin
#	--rows N			the first N rows only
#	--queries N			the first N queries only (200)
#	--quick				10,000 rows, 30 queries, two rounds: to see that all works,
#						not to quote
#	--engines NAME,...	of descartes,pgvector, which is the default; the latter is
#						left out where it is not installed
#	--recall R			each index searches as wide as that recall takes (0.99)
#	--concurrency N,...	values of effective_io_concurrency (0,1,16)
#	--share N			shared buffers are an Nth of the index (10)
#	--rounds N			passes over the queries with each (4)
#	--storage WORD		of the vectors: plain, main, external or extended; by
#						default plain where the row fits a page, else external
#	--keep				keep the private server's directory
#	--output DIR		where to leave the results (bench/results)
#
# This builds descartes from a private copy of the tree, starts a throw-away
# server, and removes all of it (test/environment.sh).
#
# The queries come one by one through one client, as EXECUTE of a prepared
# statement that takes its vector from a table, and are timed there; QPS is the
# reverse of the mean.  The settings take turns, round by round, there and back,
# over the same queries, after one pass that is not counted, so that each finds
# the shared buffers that such a pass leaves.  Blocks are those that the server
# read into them, per query.
#
# The operating system forgets the files of the table and of the index alone
# (posix_fadvise), which takes no privilege and spares other programs; a note
# says so if it does not, as on a RAM disk.

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/bench/measure.sh"

measure cold "sets rows queries engines recall concurrency share rounds storage" "$@"
