# shellcheck shell=bash
#
# Sourced by compare.sh, clients.sh, cold.sh, growth.sh and living.sh: starts
# the program that measures (compare.py, ...), as an ordinary user, with a
# server to measure in, and leaves its results where they shall be.
#
#	measure NAME "OPTION ..." ARGUMENTS
#		NAME.sh is the calling script, whose first comment is its help, NAME.py
#		the program.  The options are those that take a value, besides --output
#		of all; with dsn among them, a server may be given that is not ours.
#		--quick and --keep take none.
#
# The server is private, of a private copy of the tree (test/environment.sh):
# all that is started here ends, and is removed.

. "$top/test/environment.sh"

# Everything in memory that the searches need, and nothing beside them
tune_cluster()
{
	local setting

	for setting in "shared_buffers = '4GB'" "huge_pages = off" "autovacuum = off" \
		"max_wal_size = '16GB'" "checkpoint_timeout = '1d'" "bgwriter_lru_maxpages = 0"; do
		psql -X -q -c "ALTER SYSTEM SET $setting"
	done
	"$("$PG_CONFIG" --bindir)/pg_ctl" -w -s -D "$sandbox/cluster" -l "$sandbox/server.log" restart
}

# Inside the sandbox
measure_here()
{
	local name=$1
	shift

	enter_sandbox build "bench/$name.sh"
	build_and_install with_llvm=no
	start_cluster
	tune_cluster
	echo "descartes on $("$PG_CONFIG" --version)"
	exec /usr/bin/python3 "bench/$name.py" \
		--dsn "host=$PGHOST port=$PGPORT user=$PGUSER dbname=postgres" "$@"
}

# What the programs need of Python; the plot can do without
install_python()
{
	local package

	for package in python3-psycopg python3-numpy python3-h5py python3-matplotlib; do
		if command -v dpkg-query >/dev/null && ! installed "$package"; then
			echo "Installing $package"
			apt install --no-install-recommends "$package" || {
				apt update
				apt install --no-install-recommends "$package"
			} || [ $package = python3-matplotlib ]
		fi
	done
}

# Copies what is in $results to $output.
leave_results()
{
	if [ -n "$(ls "$results")" ]; then
		mkdir -p "$output"
		cp "$results"/* "$output"
		printf '\nResults in %s\n' "$(cd "$output" && pwd)"
	fi
	rm -rf "$results"
}

# Sets output, dsn and arguments.
parse_options()
{
	local name=$1 with_value=" $2 output "
	shift 2

	output=$top/bench/results
	dsn=no
	arguments=()
	while [ $# -gt 0 ]; do
		case $1 in
			-h | --help)
				sed -n '3,/^$/s/^# \{0,1\}//p' "$top/bench/$name.sh"
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
			--*)
				[ "${with_value/ ${1#--} /}" != "$with_value" ] || die "no option $1; see --help"
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
}

measure()
{
	local name=$1 as_user=() measuring

	if [ -n "${DESCARTES_SANDBOX:-}" ]; then
		shift 2
		measure_here "$name" "$@"
	fi
	parse_options "$@"
	install_python

	# Who measures may not be able to write where the results shall be.
	results=$(mktemp -d "${TMPDIR:-/tmp}/descartes-$name.XXXXXX")
	if [ "$(id -u)" -eq 0 ]; then
		chown postgres: "$results"
		as_user=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups)
	fi
	trap leave_results EXIT
	arguments+=(--output "$results"
		--revision "$(git -c safe.directory="$top" -C "$top" describe --always --dirty 2>/dev/null || true)")

	# In the background, so that an interrupt ends it and what it started at once.
	if [ $dsn = yes ]; then
		DESCARTES_DATA=$(data_directory "${as_user[@]}") PYTHONDONTWRITEBYTECODE=1 \
			"${as_user[@]}" /usr/bin/python3 "$top/bench/$name.py" "${arguments[@]}" &
	else
		(enter_sandbox build "bench/$name.sh" "${arguments[@]}") &
	fi
	measuring=$!
	# shellcheck disable=SC2064
	trap "kill -TERM $measuring 2>/dev/null; wait $measuring; exit 143" INT TERM HUP
	wait $measuring
}
