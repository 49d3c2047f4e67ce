# On real data at defaults: recall, long answers, filters, whole drains, and
# the order of what comes.  The demo's words, and fashion-mnist where this
# machine has it.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use Test::More;

my $node = start_node('main', "fsync = off\nautovacuum = off\nshared_buffers = 1GB\nmaintenance_work_mem = 1GB\nmax_wal_size = 4GB");

# Reads the table to its end and returns: rows, of them by the graph, rows of
# the graph that came late, rows of the sweep that came late within it
$node->safe_psql('postgres', q{
	CREATE FUNCTION order_of(tab text, operator text, query vector,
		OUT n int, OUT by_graph int, OUT late int, OUT late_in_sweep int)
	LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
	DECLARE
		c refcursor;
		d float8;
		farthest float8 := '-infinity';
		sweeps_before bigint;
		sweeps_now bigint;
		index_name regclass := tab || '_fng';
	BEGIN
		n := 0;
		late := 0;
		late_in_sweep := 0;
		SELECT s.sweeps INTO sweeps_before FROM descartes_index_stats(index_name) s;
		OPEN c NO SCROLL FOR EXECUTE format('SELECT embedding %s $1 FROM %I ORDER BY embedding %1$s $1',
			operator, tab) USING query;
		LOOP
			FETCH c INTO d;
			EXIT WHEN NOT FOUND;
			-- whole index statistics are no pastime: look now and then; the
			-- rows since the last look count as neither
			IF by_graph IS NULL AND n % 1500 = 0 THEN
				SELECT s.sweeps INTO sweeps_now FROM descartes_index_stats(index_name) s;
				IF sweeps_now > sweeps_before THEN
					by_graph := n;
					farthest := '-infinity';
				END IF;
			END IF;
			IF d < farthest THEN
				IF by_graph IS NULL THEN
					late := late + 1;
				ELSE
					late_in_sweep := late_in_sweep + 1;
				END IF;
			END IF;
			farthest := greatest(farthest, d);
			n := n + 1;
		END LOOP;
	END $$});

sub test_table
{
	my ($table, $operator, $opclass, $floor, $queries, $truth) = @_;
	my $n = $node->safe_psql('postgres', "SELECT count(*) FROM $table");

	$node->safe_psql('postgres', qq{
		INSERT INTO $table (id, embedding) OVERRIDING SYSTEM VALUE
			SELECT max(id) + i, NULL FROM $table, generate_series(1, 2) i GROUP BY i;
		CREATE INDEX ${table}_fng ON $table USING fng (embedding $opclass);
		ANALYZE $table;});
	# truth is what the data set says, or an exact scan
	my $found = $truth ? $node->safe_psql('postgres', qq{
			SET enable_seqscan = off;
			SELECT round(count(*) / ($queries * 10.0), 4)
			FROM (SELECT * FROM ${table}_queries ORDER BY id LIMIT $queries) q,
				LATERAL (SELECT t.embedding $operator q.embedding AS distance
					FROM $table t ORDER BY t.embedding $operator q.embedding LIMIT 10) n
			WHERE distance <= q.distances[10] * 1.000001})
	  : recall($node, $table, $operator, 10, $queries);
	cmp_ok($found, '>=', $floor, "recall\@10 on $table: $found");

	my $query = "(SELECT embedding FROM ${table}_queries ORDER BY id LIMIT 1)";
	my $settings = 'SET enable_seqscan = off; SET enable_sort = off';
	is($node->safe_psql('postgres', qq{$settings;
			SELECT count(*), count(DISTINCT id) FROM
				(SELECT id FROM $table ORDER BY embedding $operator $query LIMIT 1000) s}),
		'1000|1000', "LIMIT 1000 on $table");
	is($node->safe_psql('postgres', qq{$settings;
			SELECT array_agg(id ORDER BY id) FROM
				(SELECT id FROM $table WHERE id % 1000 = 7 ORDER BY embedding $operator $query) s}),
		$node->safe_psql('postgres',
			"SELECT array_agg(id ORDER BY id) FROM $table WHERE id % 1000 = 7"),
		"a filter that passes one in a thousand on $table");
	is($node->safe_psql('postgres', qq{$settings;
			SELECT count(*) FROM (SELECT id FROM $table WHERE id % 1000 = 7
				ORDER BY embedding $operator $query LIMIT 20) s}),
		20, "the same with LIMIT 20 on $table");

	my $counts = drain($node, $table, $operator, $query);
	is("$counts->{rows} $counts->{extra} $counts->{missing} $counts->{misplaced}",
		$n + 2 . ' 0 0 0', "a drain of $table: each row once, NULLs last");

	my ($total, $graph, $late, $late_in_sweep) = split /\|/, $node->safe_psql('postgres', qq{
		SELECT sum(n), sum(by_graph), sum(late), sum(late_in_sweep)
		FROM (SELECT (order_of('$table', '$operator', embedding)).*
			FROM (SELECT embedding FROM ${table}_queries ORDER BY id LIMIT 3) q) s});
	is($late_in_sweep, 0, "the sweep of $table is in order");
	cmp_ok($late, '<=', $graph / 1000, "$late of $graph rows by the graph of $table came late");
	check_index($node, "${table}_fng", 1);
}

load_words($node, 20000);
test_table('words', '<=>', 'vector_cosine_ops', 0.99, 300);

SKIP:
{
	my $fashion = dataset('fashion-mnist-784-euclidean');

	skip 'no large data sets here', 7 unless $fashion;

	load_dataset($node, $fashion, 'fashion');
	test_table('fashion', '<->', 'vector_l2_ops', 0.99, 1000, 1);
}

$node->stop;
done_testing();
