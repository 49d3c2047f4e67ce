#!/usr/bin/env bash
#
# Builds descartes with warnings as errors and runs every test: unit tests of
# the C core, pg_regress, isolation, TAP.  Ends with "N passed, N failed"; the
# exit status is 1 if anything failed.
#
#	test/run.sh [unit] [regress] [isolation] [tap]		all of them by default
#
# Installs what is missing (install-deps.sh) and works in a private copy with a
# server of its own (environment.sh).  Settings from the environment:
#
#	PG_CONFIG		another server than the newest installed
#	DESCARTES_DATA	the folder of large data sets for the recall tests
#	DESCARTES_KEEP	1 to keep the private copy, for a look at a failure

set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/test/environment.sh"
enter_sandbox test test/run.sh "$@"

passed=0
failed=0
failures=()

finish()
{
	if [ ${#failures[@]} -gt 0 ]; then
		printf '\nFailed:\n'
		printf '  %s\n' "${failures[@]}"
	fi
	printf '\n%d passed, %d failed\n' $passed $failed
	[ $failed -eq 0 ]
	exit
}

# report STATUS NAME [REMARK]
report()
{
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
		printf '  ok      %-44s %s\n' "$2" "${3:-}"
	else
		failed=$((failed + 1))
		failures+=("$2")
		printf '  FAILED  %-44s %s\n' "$2" "${3:-}"
	fi
}

section()
{
	printf '\n%s (after %d s)\n' "$1" $SECONDS
}

# check NAME COMMAND...: one test, which speaks only when it fails
check()
{
	local name=$1 status=0
	shift

	timeout 600 "$@" >"$sandbox/check.log" 2>&1 || status=$?
	report $status "$name"
	[ $status -eq 0 ] || tail -n 60 "$sandbox/check.log"
}

# tap NAME COMMAND...: a command that prints "ok", "not ok" and a plan counts
# for as many tests.  To break off, to miss the plan or to fail silently is a
# failed test more.
tap()
{
	local name=$1 log=$sandbox/tap.log status=0 start=$SECONDS good bad skipped plan
	shift

	timeout 900 "$@" >"$log" 2>&1 || status=$?
	# prove says "ok" by itself about each file
	good=$(grep -E '^ok .' "$log" | grep -vciE '# (skip|todo)')
	skipped=$(grep -ciE '^(ok .*|1\.\.0 *)# skip' "$log")
	bad=$(grep -cE '^not ok ' "$log")
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log" | tail -n 1)
	[ "$plan" = 0 ] && plan=$skipped
	if [ $bad -eq 0 ]; then
		[ $status -eq 0 ] || bad=1
		[ "$plan" = $((good + skipped)) ] || { bad=1; echo "plan: ${plan:-none}" >>"$log"; }
	fi
	passed=$((passed + good))
	failed=$((failed + bad))
	printf '  %-7s %-44s %d tests, %d s%s\n' "$([ $bad -eq 0 ] && echo ok || echo FAILED)" "$name" \
		$((good + bad)) $((SECONDS - start)) "$([ $skipped -eq 0 ] || echo ", $skipped skipped")"
	if [ $bad -gt 0 ]; then
		failures+=("$name: $bad")
		grep -vE '^ok ' "$log" | tail -n 60
		return 1
	fi
}

# pg_regress_suite NAME MAKE ARGUMENTS: a run of pg_regress or its sibling,
# whose report differs by version ("test x ... ok", or TAP since 16)
pg_regress_suite()
{
	local name=$1 log=$sandbox/regress.log status=0 before=$failed result test
	shift

	timeout 900 make -s installcheck "$@" >"$log" 2>&1 || status=$?
	while read -r result test; do
		report "$result" "$name: $test"
	done < <(sed -nE -e 's/^test ([^ ]+) +\.\.\. ok.*/0 \1/p' \
		-e 's/^test ([^ ]+) +\.\.\. FAILED.*/1 \1/p' \
		-e 's/^ok [0-9]+ +[-+] ([^ ]+).*/0 \1/p' \
		-e 's/^not ok [0-9]+ +[-+] ([^ ]+).*/1 \1/p' "$log")
	if [ $status -ne 0 ]; then
		[ $failed -gt $before ] || report 1 "$name" "did not run to its end"
		tail -n 20 "$log"
		head -n 400 regression.diffs output_iso/regression.diffs 2>/dev/null
		tail -n 40 "$sandbox/server.log"
	fi
	rm -f regression.diffs output_iso/regression.diffs
}

unit_tests()
{
	local variant program source
	local -a flags

	for variant in plain sanitized; do
		flags=()
		[ $variant = plain ] ||
			flags=(UNIT_CFLAGS="-O2 -g -fsanitize=address,undefined -fno-sanitize-recover=all" UNIT_WARN=)
		for source in test/unit/*.c; do
			[ -e "$source" ] || continue
			program=$sandbox/unit-$variant/$(basename "$source" .c)
			if make -s -j"$(nproc)" "$program" UNIT_DIR="$sandbox/unit-$variant" "${flags[@]}" \
				>"$sandbox/check.log" 2>&1; then
				tap "unit: ${program##*/} ($variant)" "$program"
			else
				report 1 "unit: ${program##*/} ($variant)" "does not build"
				cat "$sandbox/check.log"
			fi
		done
	done
}

# The logs of a failed file are shown at once, because the next one starts with
# an empty tmp_check.  What a broken-off file has left running must not be
# writing there any more.
tap_tests()
{
	local file log

	export TEMP_CONFIG=$sandbox/extension.conf
	for file in test/t/*.pl; do
		[ -e "$file" ] || continue
		stop_servers tmp_check
		tap "tap: $(basename "$file" .pl)" \
			make -s installcheck REGRESS= ISOLATION= PROVE_TESTS="$file" PROVE_FLAGS=-v && continue
		for log in tmp_check/log/*; do
			[ -e "$log" ] || continue
			printf -- '--- %s\n' "$log"
			tail -n 30 "$log"
		done
	done
}

suites=${*:-unit regress isolation tap}
echo "descartes with $("$PG_CONFIG" --version)"

section "Build"
build_and_install WERROR=1
report $? "gcc, warnings as errors"
[ $failed -eq 0 ] || finish
clang=$(sed -n 's/^CLANG *= *//p' "$(dirname "$("$PG_CONFIG" --pgxs)")/../Makefile.global")
if [ -n "$clang" ] && command -v "$clang" >/dev/null; then
	check "clang, warnings as errors" make -s clang-check
fi
# Versions of pg_bsd_indent differ in details; 2.1.1 is what the sources follow.
if pg_bsd_indent --version 2>/dev/null | grep -q ' 2\.1\.1 '; then
	check "layout of the sources" make -s indent-check
fi

for suite in $suites; do
	case $suite in
		unit)
			section "Unit tests of the C core"
			unit_tests
			;;
		regress | isolation)
			section "$suite"
			if [ -z "${PGHOST:-}" ]; then
				start_cluster || { report 1 "start of the server"; finish; }
			fi
			if [ $suite = isolation ]; then
				pg_regress_suite isolation REGRESS= TAP_TESTS=
			else
				pg_regress_suite regress ISOLATION= TAP_TESTS=
				# The same answers from the code that runs on any CPU; the test
				# "descartes" is about this very setting.
				PGOPTIONS="-c descartes.simd=scalar" \
					pg_regress_suite "regress, scalar" REGRESS_EXCEPT=descartes \
					ISOLATION= TAP_TESTS=
			fi
			;;
		tap)
			section "TAP"
			tap_tests
			;;
		*)
			die "unknown suite: $suite"
			;;
	esac
done
finish
