#!/usr/bin/env bash
#
# Installs what building and testing descartes needs and this machine lacks:
# a compiler, make, a PostgreSQL server of a supported version and its headers.
# Debian and Ubuntu; as root or with sudo.  Starts no server, and does nothing
# where everything is there.
#
#	test/install-deps.sh [build|test]		test adds the test tools
#
# The scripts that need a server source this file and use find_pg_config.

oldest_server=15
newest_server=18

die()
{
	echo "error: $*" >&2
	exit 1
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "root or sudo is needed to install packages"
	fi
}

installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints the pg_config to build with: $PG_CONFIG, or the newest supported
# server that is installed along with its headers.  Fails if there is none.
find_pg_config()
{
	local version dir

	if [ -n "${PG_CONFIG:-}" ]; then
		command -v "$PG_CONFIG" || die "PG_CONFIG=$PG_CONFIG is no program"
		return
	fi
	for version in $(seq $newest_server -1 $oldest_server); do
		dir=/usr/lib/postgresql/$version
		if [ -x $dir/bin/postgres ] && [ -f $dir/lib/pgxs/src/makefiles/pgxs.mk ] &&
			[ -f /usr/include/postgresql/$version/server/postgres.h ]; then
			echo $dir/bin/pg_config
			return
		fi
	done
	return 1
}

# Runs apt-get; it speaks only when it fails.
apt()
{
	local output

	if ! output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" 2>&1 </dev/null); then
		echo "$output" | tail -n 30 >&2
		return 1
	fi
}

# Do the package lists have it?
offered()
{
	[ -n "$(apt-cache madison "$1" 2>/dev/null)" ]
}

# The newest supported version that the package lists offer.
newest_offered()
{
	local version

	for version in $(seq $newest_server -1 $oldest_server); do
		if offered postgresql-$version && offered postgresql-server-dev-$version; then
			echo "$version"
			return
		fi
	done
	return 1
}

install_server()
{
	local version dropin=/etc/postgresql-common/createcluster.d/descartes-deps.conf

	if ! version=$(newest_offered); then
		# An old release, such as Ubuntu 22.04: the PostgreSQL project's own
		# packages, set up by the script that the distribution ships for that.
		echo "No PostgreSQL $oldest_server to $newest_server in the package lists: adding the PostgreSQL project's."
		apt install --no-install-recommends postgresql-common ca-certificates
		as_root /usr/share/postgresql-common/pgdg/apt*.sh -y </dev/null
		version=$(newest_offered) || die "no PostgreSQL $oldest_server to $newest_server to install"
	fi

	# The server's package would create and start a cluster of its own.
	as_root mkdir -p "${dropin%/*}"
	echo "create_main_cluster = false" | as_root tee "$dropin" >/dev/null
	apt install --no-install-recommends "postgresql-$version" "postgresql-server-dev-$version" ||
		{ as_root rm -f "$dropin"; die "could not install PostgreSQL $version"; }
	as_root rm -f "$dropin"
}

# Prints what of install_deps' lists is not there; the useful ones count where
# they can be had.
missing()
{
	local package

	for package in "${needed[@]}"; do
		installed "$package" || echo "$package"
	done
	for package in "${useful[@]}"; do
		installed "$package" || ! offered "$package" || echo "$package"
	done
	find_pg_config >/dev/null || echo PostgreSQL
}

install_deps()
{
	local needed=(make gcc libc6-dev) useful=() package

	if [ "$1" = test ]; then
		needed+=(perl libipc-run-perl)
		# To check the layout of the sources (newer servers bring it along),
		# and to load the large data sets
		useful+=(pg-bsd-indent python3-h5py)
	fi

	if ! command -v dpkg-query >/dev/null; then
		find_pg_config >/dev/null ||
			die "this is neither Debian nor Ubuntu: install PostgreSQL and its headers, and set PG_CONFIG"
		return
	fi
	if [ -z "$(missing)" ]; then
		return
	fi

	echo "Installing what is missing:" $(missing)
	apt update || echo "warning: could not update the package lists" >&2
	for package in $(missing); do
		if [ "$package" = PostgreSQL ]; then
			install_server
		else
			apt install --no-install-recommends "$package" || die "could not install $package"
		fi
	done
	[ -z "$(missing)" ] || die "still missing: $(missing)"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	install_deps "${1:-test}"
fi
