#!/usr/bin/env bash
#
# Compares descartes with pgvector's hnsw, and with hnswlib in memory: recall,
# queries per second, build time and size, on the same rows in the same run.
#
#	bench/compare.sh [OPTIONS] [FILE...]
#
# The files are HDF5 as of ANN-Benchmarks; by default all in $DESCARTES_DATA or
# in ../shared/data.  Prints a table for each, and leaves compare.txt,
# compare.json (all figures) and the plots compare.png and compare.svg.
#
#	--sets NAME,...		sets of that folder, by how their names begin; NAME+noise
#						is the same with noise added, for values that need their
#						full mantissas
#	--rows N			the first N rows only (the truth is computed anew)
#	--queries N			the first N queries only
#	--quick				10,000 rows, 200 queries, a coarse sweep, one round: to see
#						that all works, not to quote
#	--engines NAME,...	of descartes,pgvector,hnswlib, which is the default
#	--variant OPTIONS	also descartes WITH (OPTIONS); may be repeated
#	--rounds N			each setting is timed N times, the best counts (3)
#	--seconds S			... for S seconds at least (0.5)
#	--client S			also QPS of a client, pgbench with prepared statements, which
#						runs for S seconds at the best setting of each target
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
# server, libhnswlib-dev and g++ for hnswlib.
#
# Rules, the same for both indexes: vectors stored plain, in the row, as far as
# a page takes it; fng at its defaults, hnsw with m = 16 and ef_construction =
# 200; maintenance_work_mem of 1 GB, leader and one worker (hnswlib: two
# threads); everything in shared buffers; no sequential scan, memoize, parallel
# query or JIT; queries from a table through LATERAL, in one backend, in turn.
# The floor is the same statement over fixed rows: distances, but no search.

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/test/environment.sh"

# Everything that both indexes need in memory, and nothing beside the queries
tune_cluster()
{
	local setting

	for setting in "shared_buffers = '4GB'" "huge_pages = off" "autovacuum = off" \
		"max_wal_size = '16GB'" "checkpoint_timeout = '1d'" "bgwriter_lru_maxpages = 0"; do
		psql -X -q -c "ALTER SYSTEM SET $setting"
	done
	"$("$PG_CONFIG" --bindir)/pg_ctl" -w -s -D "$sandbox/cluster" -l "$sandbox/server.log" restart
}

# Inside: a server is ours to start.
if [ -n "${DESCARTES_SANDBOX:-}" ]; then
	enter_sandbox build bench/compare.sh
	build_and_install with_llvm=no
	start_cluster
	tune_cluster
	echo "descartes on $("$PG_CONFIG" --version)"
	exec /usr/bin/python3 bench/compare.py --dsn "host=$PGHOST port=$PGPORT user=$PGUSER dbname=postgres" "$@"
fi

output=$top/bench/results
dsn=no
arguments=()
while [ $# -gt 0 ]; do
	case $1 in
		-h | --help)
			sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
			exit
			;;
		--*=*)
			set -- "${1%%=*}" "${1#*=}" "${@:2}"
			continue
			;;
		--quick)
			arguments+=("$1")
			;;
		--keep)
			export DESCARTES_KEEP=1
			arguments+=("$1")
			;;
		--output | --dsn | --sets | --rows | --queries | --engines | --variant | \
			--rounds | --seconds | --client | --storage)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			case $1 in
				--output) output=$2 ;;
				--dsn) dsn=yes ;;&
				*) arguments+=("$1" "$2") ;;
			esac
			shift
			;;
		-*)
			die "no option $1; see --help"
			;;
		*)
			arguments+=("$(realpath -- "$1")")
			;;
	esac
	shift
done

for package in python3-psycopg python3-numpy python3-h5py python3-matplotlib; do
	if command -v dpkg-query >/dev/null && ! installed "$package"; then
		echo "Installing $package"
		apt install --no-install-recommends "$package" || {
			apt update
			apt install --no-install-recommends "$package"
		} || [ $package = python3-matplotlib ]
	fi
done

# Who measures may not be able to write where the results shall be.
results=$(mktemp -d "${TMPDIR:-/tmp}/descartes-compare.XXXXXX")
as_user=()
if [ "$(id -u)" -eq 0 ]; then
	chown postgres: "$results"
	as_user=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups)
fi
leave_results()
{
	if [ -n "$(ls "$results")" ]; then
		mkdir -p "$output"
		cp "$results"/* "$output"
		printf '\nResults in %s\n' "$(cd "$output" && pwd)"
	fi
	rm -rf "$results"
}
trap leave_results EXIT
arguments+=(--output "$results"
	--revision "$(git -c safe.directory="$top" -C "$top" describe --always --dirty 2>/dev/null || true)")

# In the background, so that an interrupt ends it and what it started at once.
if [ $dsn = yes ]; then
	DESCARTES_DATA=$(data_directory "${as_user[@]}") PYTHONDONTWRITEBYTECODE=1 \
		"${as_user[@]}" /usr/bin/python3 "$top/bench/compare.py" "${arguments[@]}" &
else
	(enter_sandbox build bench/compare.sh "${arguments[@]}") &
fi
measuring=$!
trap 'kill -TERM $measuring 2>/dev/null; wait $measuring; exit 143' INT TERM HUP
wait $measuring
