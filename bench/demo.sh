#!/usr/bin/env bash
#
# A demonstration on real data: 33,112 English words as vectors of 100
# dimensions (bench/data).  Builds descartes, starts a throw-away server, loads
# the words, builds an index, and compares its answers with those of an exact
# scan: first to be read, then by recall and speed over held-out queries.
#
# Installs what is missing (test/install-deps.sh), works in a private copy and
# cleans up (test/environment.sh).

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$top/test/environment.sh"
enter_sandbox build bench/demo.sh "$@"

k=10
create_index="CREATE INDEX ON words USING fng (embedding vector_cosine_ops)"

# One backend, no parallel query: the two plans are compared on equal terms.
settings="SET max_parallel_workers_per_gather = 0; SET jit = off; SET enable_memoize = off;"
exact="$settings SET enable_indexscan = off;"
index="$settings SET enable_seqscan = off;"

# Runs the SQL of its standard input; the columns come separated by tabs.
sql()
{
	psql -X -q -A -t -F $'\t' -v ON_ERROR_STOP=1 -v k=$k "$@"
}

# The number of rows of a table
count()
{
	sql -c "SELECT to_char(count(*), 'FM999,999') FROM $1"
}

size()
{
	sql -c "SELECT pg_size_pretty(pg_relation_size('$1'))"
}

# Seconds since $1, a time of $EPOCHREALTIME
since()
{
	awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'
}

# neighbours PLAN WORD: the nearest words and their distances
neighbours()
{
	sql -v word="$2" <<-EOF
		$1
		SELECT embedding AS query FROM words WHERE word = :'word' \gset
		SELECT word, to_char(embedding <=> :'query', 'FM0.0000') FROM words
		WHERE word <> :'word' ORDER BY embedding <=> :'query' LIMIT :k;
	EOF
}

# A query for each row of the table queries
each_query="FROM queries q, LATERAL (SELECT embedding <=> q.embedding AS distance
	FROM words ORDER BY embedding <=> q.embedding LIMIT :k) n"

# answers PLAN TABLE: keeps all the answers
answers()
{
	sql <<-EOF
		$1
		CREATE TABLE $2 AS SELECT q.id, n.distance $each_query;
	EOF
}

# speed PLAN RUNS: queries per second inside the server, the best of some runs
speed()
{
	{
		echo "$1"
		for _ in $(seq "$2"); do
			cat <<-EOF
				SELECT clock_timestamp() AS from \gset
				SELECT count(n.distance) AS n $each_query \gset
				SELECT count(*) / extract(epoch FROM clock_timestamp() - :'from') FROM queries;
			EOF
		done
	} | sql | sort -g | tail -n 1
}

printf '\ndescartes on %s\n\n' "$("$PG_CONFIG" --version)"
from=$EPOCHREALTIME
build_and_install with_llvm=no
start_cluster
printf 'Built, and a throw-away server started           %8s\n' "$(since "$from")"

from=$EPOCHREALTIME
sql <<-'EOF'
	CREATE EXTENSION descartes;
	CREATE TABLE words (word text PRIMARY KEY, embedding vector(100) NOT NULL);
	CREATE TABLE queries (id int PRIMARY KEY, embedding vector(100) NOT NULL);
	\copy words FROM PROGRAM 'zcat bench/data/words.tsv.gz'
	\copy queries FROM PROGRAM 'zcat bench/data/queries.tsv.gz'
	VACUUM ANALYZE;
EOF
printf 'Loaded %s words and %s queries            %8s\n' \
	"$(count words)" "$(count queries)" "$(since "$from")"

printf '\n%s\n' "$create_index"
from=$EPOCHREALTIME
bench/progress.sh fng $$ &
progress=$!
sql -c "$create_index"
took=$(since "$from")
kill $progress
wait $progress || true
printf '  %8s  100%%  done: %s of index, %s of table\n' "$took" \
	"$(size words_embedding_idx)" "$(size words)"

for word in river war; do
	printf '\nThe %d nearest to "%s"\n      %-28s  %s\n' $k "$word" "exact scan" "index"
	paste <(neighbours "$exact" $word) <(neighbours "$index" $word) |
		awk -F '\t' '{ printf "  %2d  %-20s %s    %-20s %s\n", NR, $1, $2, $3, $4 }'
done

printf '\n%s held-out queries, the %d nearest of each, one backend\n' "$(count queries)" $k
answers "$exact" exact_answers
answers "$index" index_answers
printf '%s\n' "$index" "EXPLAIN SELECT count(n.distance) $each_query;" | sql >"$sandbox/plan"
grep -q "Index Scan using words_embedding_idx" "$sandbox/plan" ||
	die "the planner does not use the index: $(cat "$sandbox/plan")"
sql -v exact="$(speed "$exact" 1)" -v index="$(speed "$index" 3)" <<-'EOF' |
	-- An answer is right if it is no farther than the true k-th: ties count.
	WITH truth AS (SELECT id, max(distance) AS farthest FROM exact_answers GROUP BY id),
	right_answers AS (SELECT count(*) AS n FROM index_answers JOIN truth USING (id)
		WHERE distance <= farthest)
	SELECT 'exact scan', to_char(1, '0.0000'), to_char(:exact, '9,999,999'),
		to_char(1e6 / :exact, '999,999'), ''
	UNION ALL
	SELECT 'index', to_char(n / (SELECT count(*) FROM exact_answers)::numeric, '0.0000'),
		to_char(:index, '9,999,999'), to_char(1e6 / :index, '999,999'),
		to_char(:index / :exact, 'FM999,990') || ' times as fast'
	FROM right_answers;
EOF
	awk -F '\t' 'BEGIN { printf "  %-12s %9s %12s %14s\n", "", "recall@10", "queries/s", "microseconds" }
		{ printf "  %-12s %9s %12s %14s   %s\n", $1, $2, $3, $4, $5 }'

printf '\nThe server, its data and the build are removed.\n'
