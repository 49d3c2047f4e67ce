# What the settings of a search do, on the demo's words and on the first rows
# of the large data sets, where this machine has them: every SIMD level finds
# the same rows; descartes.search_res_cnt trades recall for pages, smoothly,
# from the shortest search that fills the LIMIT up to a recall of 0.999.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use JSON::PP;
use Test::More;

# Held-out queries of each set, and rows that each asks for
my $queries = 300;
my $limit = 10;

# Lists from shortest to longest.  By the last one all sets reach 0.999, long
# before a search would give up and the sweep find what the graph does not.
my @lists = (1, 2, 5, 10, 20, 50, 100, 200);

my $node = start_node('main', "fsync = off\nautovacuum = off\nshared_buffers = 512MB\nmaintenance_work_mem = 1GB");
my @levels = split / /,
  $node->safe_psql('postgres', q{SELECT array_to_string(available, ' ') FROM descartes_simd_info()});

$node->safe_psql('postgres', q{CREATE TABLE answers (tab text, setting text, query int, id int)});

# The query that all tests ask: the nearest rows of each query's vector
sub nearest
{
	my ($table, $operator) = @_;

	return qq{SELECT q.id AS query, n.id
		FROM (SELECT * FROM ${table}_queries ORDER BY id LIMIT $queries) q,
			LATERAL (SELECT t.id FROM $table t ORDER BY t.embedding $operator q.embedding LIMIT $limit) n};
}

# Keeps the answers as those of a setting, which is given as SQL; returns how
# many rows there were, pages touched by the index scans, and sweeps.
sub search
{
	my ($table, $operator, $setting) = @_;
	my $nearest = nearest($table, $operator);
	my $sweeps = "SELECT 'sweeps', sweeps FROM descartes_index_stats('${table}_fng')";
	my $out = $node->safe_psql('postgres', qq{
		SET enable_seqscan = off;
		$setting;
		$sweeps;
		INSERT INTO answers SELECT '$table', '$setting', * FROM ($nearest) a;
		$sweeps;
		SELECT 'rows', count(*) FROM answers WHERE tab = '$table' AND setting = '$setting';
		EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) $nearest;});
	my ($before, $after) = $out =~ /^sweeps\|(\d+)/mg;
	my ($rows) = $out =~ /^rows\|(\d+)/m;
	my ($json) = $out =~ /^(\[.*)/ms;
	my $scan = find_scan(decode_json($json)->[0]{Plan}, "${table}_fng")
	  or die "no scan of ${table}_fng in: $json";

	return ($rows, $scan->{'Shared Hit Blocks'} + $scan->{'Shared Read Blocks'}, $after - $before);
}

# The recall of the answers of a setting.  Distances are taken at one SIMD
# level, whatever the answers were found with.
sub recall_of
{
	my ($table, $operator, $setting) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT round(count(*) / ($queries * $limit.0), 4)
		FROM answers a
			JOIN truth f ON f.tab = a.tab AND f.query = a.query
			JOIN $table t ON t.id = a.id
			JOIN ${table}_queries q ON q.id = a.query
		WHERE a.tab = '$table' AND a.setting = '$setting' AND
			t.embedding $operator q.embedding <= f.farthest});
}

$node->safe_psql('postgres', q{CREATE TABLE truth (tab text, query int, farthest float8)});

sub prepare
{
	my ($table, $operator, $opclass) = @_;
	my $nearest = nearest($table, $operator);

	$node->safe_psql('postgres', qq{
		INSERT INTO truth SELECT '$table', n.query, max(t.embedding $operator q.embedding)
			FROM ($nearest) n JOIN $table t USING (id) JOIN ${table}_queries q ON q.id = n.query
			GROUP BY n.query;
		CREATE INDEX ${table}_fng ON $table USING fng (embedding $opclass);
		ANALYZE $table, truth;});
}

# One index, searched at each level
sub test_levels
{
	my ($table, $operator) = @_;
	my $list = $node->safe_psql('postgres',
		"SELECT calibrated_search_res_cnt FROM descartes_index_stats('${table}_fng')");

	# a short list, which forgives little, and the default
	foreach my $res_cnt (10, $list > 10 ? $list : 20)
	{
		my %recall;

		foreach my $level (@levels)
		{
			my $setting = "SET descartes.simd = $level; SET descartes.search_res_cnt = $res_cnt";

			search($table, $operator, $setting);
			$recall{$level} = recall_of($table, $operator, $setting);
		}
		foreach my $level (grep { $_ ne 'scalar' } @levels)
		{
			my $same = $node->safe_psql('postgres', qq{
				SELECT count(*) FROM
					(SELECT query, id FROM answers WHERE tab = '$table' AND
						setting = 'SET descartes.simd = scalar; SET descartes.search_res_cnt = $res_cnt'
					 INTERSECT
					 SELECT query, id FROM answers WHERE tab = '$table' AND
						setting = 'SET descartes.simd = $level; SET descartes.search_res_cnt = $res_cnt') s});

			cmp_ok($same, '>=', 0.999 * $queries * $limit,
				"$table, list of $res_cnt: $level returns $same of "
				  . $queries * $limit . ' rows of scalar');
			cmp_ok(abs($recall{$level} - $recall{scalar}), '<=', 0.001,
				"$table, list of $res_cnt: recall by $level $recall{$level}, by scalar $recall{scalar}");
		}
		$node->safe_psql('postgres', 'TRUNCATE answers');
	}
}

# One index, searched with lists of all sizes
sub test_lists
{
	my ($table, $operator) = @_;
	my ($full, $swept, $falls, $cheaper) = (0, 0, 0, 0);
	my ($last_recall, $last_pages) = (0, 0);
	my $report = '';

	foreach my $list (@lists)
	{
		my $setting = "SET descartes.search_res_cnt = $list";
		my ($rows, $pages, $sweeps) = search($table, $operator, $setting);
		my $recall = recall_of($table, $operator, $setting);

		$full++ if $rows == $queries * $limit;
		$swept += $sweeps;
		# what noise a longer list may have
		$falls++ if $recall < $last_recall - 0.005;
		$cheaper++ if $pages <= $last_pages;
		$report .= sprintf ' %d: %.4f, %.1f pages;', $list, $recall, $pages / $queries;
		$last_recall = $recall if $recall > $last_recall;
		$last_pages = $pages;
	}
	note("$table:$report");
	is($full, scalar @lists, "$table: every list fills the LIMIT");
	is($swept, 0, "$table: without a sweep");
	is($falls, 0, "$table: recall does not fall with a longer list");
	is($cheaper, 0, "$table: a longer list touches more pages");
	cmp_ok($last_recall, '>=', 0.999, "$table: the longest list reaches 0.999");
}

sub test_set
{
	my ($table, $operator, $opclass) = @_;

	prepare($table, $operator, $opclass);
	test_levels($table, $operator);
	test_lists($table, $operator);
	$node->safe_psql('postgres', "DROP TABLE $table, ${table}_queries");
}

load_words($node, 20000);
test_set('words', '<=>', 'vector_cosine_ops');

foreach my $set (
	[ 'sift-128-euclidean', 'sift', 15000, '<->', 'vector_l2_ops' ],
	[ 'gist-960-euclidean', 'gist', 5000, '<->', 'vector_l2_ops' ],
	[ 'fashion-mnist-784-euclidean', 'fashion', 5000, '<->', 'vector_l2_ops' ],
	[ 'words-100-angular', 'more_words', 15000, '<=>', 'vector_cosine_ops' ])
{
	my ($file, $table, $rows, $operator, $opclass) = @$set;
	my $path = dataset($file);

  SKIP:
	{
		skip "no $file here", 4 * (@levels - 1) + 5 unless $path;

		load_dataset($node, $path, $table, '--rows', $rows);
		test_set($table, $operator, $opclass);
	}
}

$node->stop;
done_testing();
