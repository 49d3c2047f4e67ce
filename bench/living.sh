#!/usr/bin/env bash
#
# How an index lives: what rows cost that come one by one, what VACUUM takes,
# and how good the index is after all that, of fng beside pgvector's hnsw, on
# the same rows in the same run.
#
#	bench/living.sh [OPTIONS] [FILE...]
#
# The files are HDF5 as of ANN-Benchmarks; by default sift-128 of
# $DESCARTES_DATA or of ../shared/data, else the words of bench/data.  Prints
# tables for each, and leaves living.txt and living.json (all figures).
#
#	--sets NAME,...		sets of that folder, by how their names begin
#	--rows N			rows that the table has at the beginning (100,000; of sets
#						with less than 6/5 of that, 5/6); others of the set are
#						inserted
#	--queries N			the recall is that of the first N queries only
#	--quick				10,000 rows, 200 queries, one round of everything, a tenth
#						of the inserts: to see that all works, not to quote
#	--engines NAME,...	of descartes,pgvector, which is the default
#	--what NAME,...		of inserts,writers,wal,turnover,vacuum,stream, which is the
#						default
#	--inserts N			rows that each run of inserts and writers inserts (1,000)
#	--turnover NAME,...	engines of turnover (descartes): a VACUUM of hnsw takes
#						minutes, and there are ten
#	--rounds N			rounds of inserts and writers, whose median counts (5);
#						vacuum has half as many, and hnsw the first of them
#	--storage WORD		of the vectors: plain, main, external or extended; by
#						default plain where the row fits a page, else external
#	--dsn CONNINFO		measure there, as a superuser, in databases compare_...;
#						wal sets full_page_writes of that server, and resets it
#	--keep				keep the databases (of the private server: its directory)
#	--output DIR		where to leave the results (bench/results)
#
# Without --dsn this builds descartes from a private copy of the tree, starts a
# throw-away server, and removes all of it (test/environment.sh).  Without the
# extension vector on the server pgvector is left out with a note.
#
# Rules, the same for both: the table has a primary key and the one index; fng
# at its defaults, hnsw with m = 16 and ef_construction = 200; vectors stored
# plain as far as a page takes them; everything in shared buffers; fsync and
# autovacuum off; no checkpoint but those that are asked for.  Each part begins
# with fresh copies (CREATE DATABASE ... TEMPLATE) of the table with its index
# just built.  Rows are inserted one by one, a transaction each, by pgbench with
# prepared statements, which look them up by their numbers in another table.
# "no index" is the table with its primary key only: what none of this is about.
#
#	inserts		one client and four, in turn, engine by engine, in the opposite
#				order every other round.  tps is the median of the rounds, a
#				ratio that of the ratios of each round; p50 and p99 are of all
#				the statements; CPU us of the backends, for each row
#	writers		fng alone, 1, 2, 4 and 8 clients, in turn; then the same while
#				one client searches, 2 % of the rows have been deleted before
#				each run, and one VACUUM follows the other.  In the end no row
#				may be missing, and descartes_index_check has to find nothing.
#				"of fewer": tps over the best median of fewer writers.  Two runs
#				of the same differ, so that .95 passes for "does not fall"
#	wal			bytes of WAL for each of 10,000 inserts, of one client, right
#				after a CHECKPOINT, with full_page_writes on and off; all of it:
#				heap, primary key and commits, too.  Images are bytes of those
#				of full pages; pages are what an insert changes of the index,
#				and what all have changed in the end
#	turnover	ten rounds: delete a tenth of the rows that there were in the
#				beginning, insert as many others (four clients; rows that were
#				deleted earlier where the set has no more), VACUUM.  Beside it
#				the index built afresh over the rows of the end
#	vacuum		inserts, DELETE of a random tenth, VACUUM, inserts, VACUUM,
#				inserts: the first VACUUM marks nodes dead, the second one
#				removes them; hnsw does both in the first.  Medians of the
#				rounds (see --rounds); the target counts both.  A rate of .95
#				of that before passes for unchanged; each is taken right after
#				a CHECKPOINT, for how many neighbours an insert into fng asks
#				depends on what has been logged since
#	stream		fng alone, created on an empty table, which is then filled by
#				single rows (four clients), by COPY, and by INSERT ... SELECT;
#				beside it the index built over the same rows.  Recall by search
#				width; hops at a recall are those between two widths (<: of the
#				shortest search, which has more recall already)

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/bench/measure.sh"

measure living "sets rows queries engines what inserts turnover rounds storage dsn" "$@"
