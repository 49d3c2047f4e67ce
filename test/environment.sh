# shellcheck shell=bash
#
# Sourced by test/run.sh and bench/demo.sh: a private place to build and to run
# a server in, so that the checkout, the system's extensions and the clusters
# of this machine stay as they are.
#
#	enter_sandbox build|test SCRIPT ARGUMENTS
#		Installs what is missing, copies the tree to a temporary directory and
#		runs SCRIPT (a path in the tree) there as an ordinary user: the calling
#		one, or postgres when root calls.  Returns only inside, with $sandbox
#		set; outside it exits with the status of the inner run.  Nothing is
#		left running, and the directory is removed (set DESCARTES_KEEP=1 to
#		keep it, or make a file "keep" in it).
#
#	build_and_install [MAKE ARGUMENTS]
#		Builds, and installs into $sandbox/install, where the server supports
#		that: PostgreSQL 18, and any of Debian's and Ubuntu's.  Otherwise into
#		the server's own directories, which takes the right to write there.
#		$sandbox/extension.conf then has the settings with which a server finds
#		the extension.
#
#	start_cluster
#		A cluster of its own under $sandbox; PGHOST, PGPORT and PGUSER lead to
#		it.  No TCP port: the socket is in the sandbox.
#
# See install-deps.sh for what is supported.

. "$top/test/install-deps.sh"

# Stops every server that has its data below $1, and what is left of servers
# whose postmaster was killed: they all work in their data directory.
stop_servers()
{
	local directory found

	directory=$(realpath "$1")
	for _ in $(seq 100); do
		found=$(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$directory/*" \
			-exec test -e '{}/PG_VERSION' ';' -print 2>/dev/null | cut -d / -f 3) || true
		[ -n "$found" ] || break
		kill -QUIT $found 2>/dev/null || true
		sleep 0.1
	done
}

# Stops every server that has its data below $1, then removes $1.
close_sandbox()
{
	stop_servers "$1"
	if [ -n "${DESCARTES_KEEP:-}" ] || [ -e "$1/keep" ]; then
		echo "Kept $1" >&2
	else
		rm -rf "$1"
	fi
}

enter_sandbox()
{
	local what=$1 script=$2 pg_config status
	local -a user=() environment
	shift 2

	if [ -n "${DESCARTES_SANDBOX:-}" ]; then
		sandbox=$DESCARTES_SANDBOX
		return
	fi

	child=0
	install_deps "$what"
	pg_config=$(find_pg_config)
	sandbox=$(mktemp -d "${TMPDIR:-/tmp}/descartes.XXXXXX")
	trap 'close_sandbox "$sandbox"' EXIT
	[ ${#sandbox} -le 60 ] || die "$sandbox is too long for a socket's path: set TMPDIR"
	mkdir "$sandbox/tree" "$sandbox/socket" "$sandbox/tmp"
	tar -C "$top" -cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude=./tmp_check --exclude=./results --exclude=./test/unit/build . |
		tar -C "$sandbox/tree" -xf - --no-same-owner

	if [ "$(id -u)" -eq 0 ]; then
		id postgres >/dev/null 2>&1 || die "there is no user postgres to run the server as"
		chown -R postgres: "$sandbox"
		user=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups)
		"${user[@]}" test -x "$sandbox/tree" ||
			die "user postgres cannot enter $sandbox: set TMPDIR to where it can"
	fi

	# Nothing of the caller's clusters, preferences or language gets in.
	environment=(PATH="$(dirname "$pg_config"):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		HOME="$sandbox" TMPDIR="$sandbox/tmp" LC_ALL=C.UTF-8 PGCLIENTENCODING=UTF8
		TERM="${TERM:-dumb}" COLUMNS="${COLUMNS:-}" DESCARTES_KEEP="${DESCARTES_KEEP:-}"
		DESCARTES_SANDBOX="$sandbox" DESCARTES_DATA="$(data_directory "${user[@]}")"
		PG_CONFIG="$pg_config")

	# In a session of its own, so that an interrupt here ends all of it, and in
	# the background, so that the trap runs at once.
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	trap 'set +e
		[ $child -eq 0 ] || { kill -TERM -- -$child; wait $child; } 2>/dev/null
		close_sandbox "$sandbox"' EXIT
	cd "$sandbox/tree"
	setsid "${user[@]}" env -i "${environment[@]}" bash "$script" "$@" </dev/null &
	child=$!
	status=0
	wait $child || status=$?
	child=0
	exit $status
}

# Prints where the large data sets are: $DESCARTES_DATA, or data/ in a folder
# called shared beside the checkout.  Prints nothing if there are none or if
# the user who shall run the tests (the arguments: how to become it) cannot
# read them.
data_directory()
{
	local directory=${DESCARTES_DATA:-$top/../shared/data}

	if "$@" test -r "$directory/README.md"; then
		(cd "$directory" && pwd -P)
	fi
}

build_and_install()
{
	local bindir sharedir libdir

	bindir=$("$PG_CONFIG" --bindir)
	sharedir=$sandbox/install$("$PG_CONFIG" --sharedir)
	libdir=$sandbox/install$("$PG_CONFIG" --pkglibdir)
	make -s -j"$(nproc)" "$@" >"$sandbox/build.log" 2>&1 || {
		cat "$sandbox/build.log"
		return 1
	}
	: >"$sandbox/extension.conf"
	if grep -q extension_control_path "$bindir/postgres"; then
		make -s install DESTDIR="$sandbox/install" "$@" >>"$sandbox/build.log" 2>&1
		echo "extension_control_path = '$sharedir:\$system'" >>"$sandbox/extension.conf"
		echo "dynamic_library_path = '$libdir:\$libdir'" >>"$sandbox/extension.conf"
	elif grep -q extension_destdir "$bindir/postgres"; then
		make -s install DESTDIR="$sandbox/install" "$@" >>"$sandbox/build.log" 2>&1
		echo "extension_destdir = '$sandbox/install'" >>"$sandbox/extension.conf"
	else
		make -s install "$@" >>"$sandbox/build.log" 2>&1 || {
			echo "This server takes extensions from its own directories only, and they cannot be written to."
			return 1
		}
	fi
}

start_cluster()
{
	local bindir

	bindir=$("$PG_CONFIG" --bindir)
	export PGHOST=$sandbox/socket PGPORT=54321 PGUSER=postgres PGDATABASE=postgres
	"$bindir/initdb" -D "$sandbox/cluster" -U postgres -A trust --encoding=UTF8 --locale=C \
		--no-sync >"$sandbox/initdb.log" 2>&1 || {
		cat "$sandbox/initdb.log"
		return 1
	}
	cat "$sandbox/extension.conf" - >>"$sandbox/cluster/postgresql.conf" <<-EOF
		listen_addresses = ''
		unix_socket_directories = '$PGHOST'
		port = $PGPORT
		fsync = off
		shared_buffers = 256MB
		maintenance_work_mem = 512MB
		max_wal_size = 2GB
	EOF
	"$bindir/pg_ctl" -w -s -D "$sandbox/cluster" -l "$sandbox/server.log" start || {
		cat "$sandbox/server.log"
		return 1
	}
}
