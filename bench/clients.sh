#!/usr/bin/env bash
#
# Many clients at once: how the throughput of fng, and of pgvector's hnsw where
# that is installed, grows with their number, and what they wait for.
#
#	bench/clients.sh [OPTIONS] [FILE...]
#
# A file is HDF5 as of ANN-Benchmarks; by default words-100 of $DESCARTES_DATA
# or of ../shared/data, else the words of bench/data.  Prints a table, and
# leaves clients.txt and clients.json.
#
#	--sets NAME,...		sets of that folder, by how their names begin
#	--rows N			the first N rows only
#	--queries N			the first N queries only
#	--quick				10,000 rows, 200 queries, a second each: to see that all
#						works, not to quote
#	--engines NAME,...	of descartes,pgvector, which is the default
#	--recall R			each index searches as wide as that recall takes (0.99)
#	--clients N,...		numbers of clients (1,2,4,8,16)
#	--seconds S			... and how long each number works (3)
#	--rounds N			rounds of the sessions, whose median counts (5)
#	--storage WORD		of the vectors: plain, main, external or extended; by
#						default plain where the row fits a page, else external
#	--dsn CONNINFO		measure there, as a superuser, in databases compare_...
#	--keep				keep the databases (of the private server: its directory)
#	--output DIR		where to leave the results (bench/results)
#
# Without --dsn this builds descartes from a private copy of the tree, starts a
# throw-away server, and removes all of it (test/environment.sh).
#
# The clients are pgbench's, with prepared statements that take their query
# from a table, everything in shared buffers; beside it an empty SELECT, which
# is what pgbench and the server can do at all.  Meanwhile pg_stat_activity is
# asked, every 20 ms, what the backends with a query do: "CPU" is no wait.  With
# few clients the figures depend on the CPUs that the scheduler chooses: where a
# client shares one with its backend, no CPU has to be woken for each message.
#
# A session has no client in the loop: it searches for all queries of a table,
# LATERAL, again and again.  The last table has the throughput of two of them
# at once over that of one, of the search, and of the same statement over fixed
# rows, which tells what two CPUs of this machine are worth.  All that is so
# only on a machine that has nothing else to do.

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/bench/measure.sh"

measure clients "sets rows queries engines recall clients seconds rounds storage dsn" "$@"
