#!/usr/bin/env bash
#
# pg_upgrade from one version of PostgreSQL to another keeps indexes valid: the
# same answers to the last bit, in the same order, nothing to be found by
# descartes_index_check, and life goes on.  With copied files and with --link.
# Ends with "N passed, N failed"; the exit status is 1 if anything failed.
#
#	test/upgrade.sh [OLD_PG_CONFIG NEW_PG_CONFIG]
#		by default the oldest and the newest that are in /usr/lib/postgresql
#
# Installs what else is missing and works in a private copy, as test/run.sh
# does.  Both servers need their headers.

set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/test/environment.sh"
if [ $# -ne 2 ]; then
	mapfile -t found < <(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -t / -k 5 -n)
	[ ${#found[@]} -ge 2 ] ||
		die "there is one version of PostgreSQL at most: say which, test/upgrade.sh OLD_PG_CONFIG NEW_PG_CONFIG"
	set -- "${found[0]}" "${found[-1]}"
fi
enter_sandbox test test/upgrade.sh "$@"

passed=0
failed=0
report()
{
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
		printf '  ok      %s\n' "$2"
	else
		failed=$((failed + 1))
		printf '  FAILED  %s\n' "$2"
	fi
}

finish()
{
	printf '\n%d passed, %d failed\n' $passed $failed
	[ $failed -eq 0 ]
	exit
}

export PGHOST=$sandbox/socket PGPORT=54321 PGUSER=postgres PGDATABASE=postgres

# install PG_CONFIG NAME: builds for this version; its settings to NAME.conf
install()
{
	export PG_CONFIG=$1
	make -s clean >/dev/null
	build_and_install || return 1
	mv "$sandbox/extension.conf" "$sandbox/$2.conf"
}

# init BINDIR NAME SETTINGS: a cluster called NAME
init()
{
	"$1/initdb" -D "$sandbox/$2" -U postgres -A trust -k --encoding=UTF8 --locale=C --no-sync \
		>"$sandbox/initdb.log" 2>&1 || {
		cat "$sandbox/initdb.log"
		return 1
	}
	cat "$sandbox/$3.conf" - >>"$sandbox/$2/postgresql.conf" <<-EOF2
		listen_addresses = ''
		unix_socket_directories = '$PGHOST'
		port = $PGPORT
		fsync = off
		autovacuum = off
	EOF2
}

start()
{
	"$1/pg_ctl" -w -s -D "$sandbox/$2" -l "$sandbox/$2.log" start || {
		cat "$sandbox/$2.log"
		return 1
	}
}

stop()
{
	"$1/pg_ctl" -w -s -D "$sandbox/$2" stop
}

run_sql()
{
	psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

# Every shape: levels, NULLs, equal rows; other metrics; vectors in chains; an
# index grown from nothing; an expression, a condition and options; dead nodes
# in all of them.
tables='plain long grown zero product partial'
operator()
{
	case $1 in
		zero) echo '<=>' ;;
		product) echo '<#>' ;;
		*) echo '<->' ;;
	esac
}

fill()
{
	run_sql <<-'EOF2'
		CREATE EXTENSION descartes;
		SELECT setseed(0.5);
		CREATE FUNCTION some_vector(dim int, i int) RETURNS vector VOLATILE LANGUAGE sql AS
			'SELECT CASE WHEN i % 31 = 0 THEN NULL
				WHEN i % 29 = 0 THEN array_fill(0, ARRAY[dim])::vector
				WHEN i % 7 = 0 THEN array_fill(i % 3, ARRAY[dim])::vector
				ELSE (SELECT array_agg(random() + (i + j) % 5) FROM generate_series(1, dim) j)::vector END';
		CREATE TABLE plain (id int GENERATED ALWAYS AS IDENTITY, embedding vector(16));
		CREATE TABLE long (id int GENERATED ALWAYS AS IDENTITY, embedding vector(2000));
		CREATE TABLE grown (id int GENERATED ALWAYS AS IDENTITY, embedding vector(16));
		CREATE TABLE zero (id int GENERATED ALWAYS AS IDENTITY, embedding vector(16));
		CREATE TABLE product (id int GENERATED ALWAYS AS IDENTITY, embedding vector(24));
		CREATE TABLE partial (id int GENERATED ALWAYS AS IDENTITY, embedding vector(16));
		CREATE INDEX grown_fng ON grown USING fng (embedding);
		INSERT INTO plain (embedding) SELECT some_vector(16, i) FROM generate_series(1, 2500) i;
		INSERT INTO long (embedding) SELECT some_vector(2000, i) FROM generate_series(1, 60) i;
		INSERT INTO grown (embedding) SELECT some_vector(16, i) FROM generate_series(1, 400) i;
		INSERT INTO zero (embedding) SELECT some_vector(16, i) FROM generate_series(1, 600) i;
		INSERT INTO product (embedding) SELECT some_vector(24, i) FROM generate_series(1, 600) i;
		INSERT INTO partial (embedding) SELECT some_vector(16, i) FROM generate_series(1, 600) i;
		CREATE INDEX plain_fng ON plain USING fng (embedding);
		CREATE INDEX long_fng ON long USING fng (embedding);
		CREATE INDEX zero_fng ON zero USING fng (embedding vector_cosine_ops);
		CREATE INDEX product_fng ON product USING fng (embedding vector_ip_ops);
		CREATE INDEX partial_fng ON partial USING fng (embedding)
			WITH (max_neighbor_cnt = 48, search_res_cnt = 50) WHERE id % 2 = 0;
	EOF2
	change
}

# Rows go, rows come
change()
{
	local table

	for table in $tables; do
		run_sql <<-EOF2
			DELETE FROM $table WHERE id % 5 = 1;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			SELECT 1 WHERE pg_current_xact_id() IS NULL;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			INSERT INTO $table (embedding) SELECT embedding FROM $table WHERE id % 6 = 0;
		EOF2
	done
}

# All rows of each table in the order of its index, with their distances; and
# what an exact scan has, as a set
answers()
{
	local table condition order

	for table in $tables; do
		condition=$([ "$table" = partial ] && echo 'WHERE id % 2 = 0')
		order="embedding $(operator "$table") (SELECT embedding FROM $table WHERE id = 10)"
		run_sql <<-EOF2
			SET enable_seqscan = off;
			SET enable_sort = off;
			SELECT '$table', count(*), md5(string_agg(id || ':' || coalesce(d::text, '-'), ',' ORDER BY n)),
				(SELECT md5(string_agg(id::text, ',' ORDER BY id)) FROM $table $condition)
					= md5(string_agg(id::text, ',' ORDER BY id))
			FROM (SELECT id, d, row_number() OVER () AS n
				FROM (SELECT id, $order AS d FROM $table $condition ORDER BY $order OFFSET 0) o) s;
		EOF2
	done
}

check()
{
	local table

	for table in $tables; do
		run_sql -c "SELECT descartes_index_check('${table}_fng', true)" >/dev/null
		report $? "$1: check of $table"
	done
}

old_bin=$("$1" --bindir)
new_bin=$("$2" --bindir)
export PATH=$new_bin:$PATH
echo "From $("$1" --version) to $("$2" --version)"
install "$1" old && install "$2" new || { report 1 "build and installation"; finish; }

init "$old_bin" before old && start "$old_bin" before && fill || { report 1 "the old cluster"; finish; }
answers >"$sandbox/answers"
cat "$sandbox/answers"
[ "$(grep -c '|t$' "$sandbox/answers")" = "$(wc -w <<<"$tables")" ]
report $? "before: the indexes have all rows"
check before
stop "$old_bin" before

# The old cluster cannot be started once its files are linked.
for mode in copy link; do
	init "$new_bin" $mode new || { report 1 "$mode: initdb"; continue; }
	mkdir "$sandbox/upgrade-$mode"
	options=()
	[ $mode = copy ] || options=(--link)
	(cd "$sandbox/upgrade-$mode" && "$new_bin/pg_upgrade" -U postgres -b "$old_bin" -B "$new_bin" \
		-d "$sandbox/before" -D "$sandbox/$mode" -s "$PGHOST" \
		"${options[@]}") >"$sandbox/upgrade.log" 2>&1
	status=$?
	report $status "$mode: pg_upgrade"
	if [ $status -ne 0 ]; then
		tail -n 40 "$sandbox/upgrade.log"
		find "$sandbox/$mode/pg_upgrade_output.d" -name '*.txt' -exec cat {} +
		continue
	fi
	start "$new_bin" $mode || { report 1 "$mode: start"; continue; }
	answers >"$sandbox/answers.$mode"
	diff "$sandbox/answers" "$sandbox/answers.$mode"
	report $? "$mode: the same answers"
	check $mode
	change
	[ "$(answers | grep -c '|t$')" = "$(wc -w <<<"$tables")" ]
	report $? "$mode: all rows after further changes"
	check "$mode, after further changes"
	stop "$new_bin" $mode
done
finish
