#!/usr/bin/env bash
#
# Everything at once, and crashes: sessions that write, search, vacuum and
# reindex at random, a standby, and kill -9 (test/t/Stress.pm tells what it
# checks).  Prints what it finds; ends with "N crashes, N operations, N
# findings".  The exit status is 1 if there were findings; then the servers'
# directories are kept.
#
#	test/stress.sh [--seconds N] [--crashes N] [--seed N]
#		by default 1200 seconds, 50 crashes and a seed that it tells in the end
#
# Installs what is missing and works in a private copy, as test/run.sh does,
# with the same settings from the environment.

set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/test/environment.sh"
enter_sandbox test test/stress.sh "$@"

build_and_install || exit 1
export TEMP_CONFIG=$sandbox/extension.conf TESTDIR=$sandbox
PG_REGRESS=$(dirname "$("$PG_CONFIG" --pgxs)")/../../src/test/regress/pg_regress
export PG_REGRESS
status=0
perl -I "$(dirname "$("$PG_CONFIG" --pgxs)")/../../src/test/perl" test/stress.pl "$@" || status=$?
[ $status -ne 1 ] || touch "$sandbox/keep"
exit $status
