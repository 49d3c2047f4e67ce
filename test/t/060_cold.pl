# An index that is ten times as large as shared_buffers: searches ask for
# several pages at a time, as effective_io_concurrency says, and find what they
# find with one read after the other.  One that is in shared buffers asks for
# nothing ahead.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use JSON::PP;
use Test::More;

my $node = start_node('main',
	"fsync = off\nautovacuum = off\nshared_buffers = 2MB\nmaintenance_work_mem = 512MB\nmax_connections = 10");
my $queries = 60;

load_words($node, 15000);
$node->safe_psql('postgres', 'CREATE INDEX words_fng ON words USING fng (embedding vector_cosine_ops)');
my $size = $node->safe_psql('postgres', q{SELECT pg_relation_size('words_fng')});
cmp_ok($size, '>=', 20_000_000, "the index has $size bytes");

# The nearest rows of each query, in order
sub nearest
{
	my ($table) = @_;

	return qq{SELECT q.id AS query, n.id, n.distance
		FROM (SELECT * FROM words_queries ORDER BY id LIMIT $queries) q,
			LATERAL (SELECT t.id, t.embedding <=> q.embedding AS distance
				FROM $table t ORDER BY t.embedding <=> q.embedding LIMIT 10) n};
}

# One session that asks all queries, after $before.  Returns the answers, and
# by then: pages asked for ahead; pages that the scans had to read, or did not.
sub search
{
	my ($concurrency, $table, $before) = @_;
	my $nearest = nearest($table);
	my $out = $node->safe_psql('postgres', qq{
		SET enable_seqscan = off;
		SET effective_io_concurrency = $concurrency;
		$before
		SELECT 'before', prefetches FROM descartes_index_stats('${table}_fng');
		SELECT 'answers', md5(string_agg(a::text, ' ' ORDER BY query, distance, id)) FROM ($nearest) a;
		EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) $nearest;
		SELECT 'after', prefetches FROM descartes_index_stats('${table}_fng');});
	my ($answers) = $out =~ /^answers\|(\w+)/m;
	my ($from) = $out =~ /^before\|(\d+)/m;
	my ($to) = $out =~ /^after\|(\d+)/m;
	my ($json) = $out =~ /^(\[.*^\])/ms;
	my $scan = find_scan(decode_json($json)->[0]{Plan}, "${table}_fng")
	  or die "no scan of ${table}_fng in: $json";
	my $kind = exists $scan->{'Local Hit Blocks'} && $scan->{'Local Hit Blocks'} > 0 ? 'Local' : 'Shared';

	# the answers took as many pages as EXPLAIN saw
	return ($answers, $to - $from, 2 * $scan->{"$kind Read Blocks"}, 2 * $scan->{"$kind Hit Blocks"});
}

# Shared buffers a tenth of the index
my ($answers, $ahead, $reads) = search(0, 'words', '');
is($ahead, 0, 'no page is asked for ahead with effective_io_concurrency = 0');
cmp_ok($reads, '>=', 50 * 2 * $queries, "searches read pages: $reads");

foreach my $concurrency (1, 2, 16)
{
	my ($same, $more_ahead, $more_reads) = search($concurrency, 'words', '');

	is($same, $answers, "the same answers with effective_io_concurrency = $concurrency");
	cmp_ok($more_ahead, '>', $ahead, "pages asked for ahead: $more_ahead");
	# what a candidate that comes to nothing costs
	cmp_ok($more_reads, '<=', 2 * $reads, "pages read: $more_reads");
	$ahead = $more_ahead;
}
cmp_ok($ahead, '>=', $reads / 2, 'at least half of all reads are ahead of the search');

# A session's first query loads the top level, a chain of 128 pages
foreach my $concurrency (0, 8)
{
	$node->restart;
	my $loaded = $node->safe_psql('postgres', qq{
		SET enable_seqscan = off;
		SET effective_io_concurrency = $concurrency;
		SET descartes.search_res_cnt = 1;
		SELECT count(*) FROM (SELECT id FROM words ORDER BY embedding <=>
			(SELECT embedding FROM words_queries ORDER BY id LIMIT 1) LIMIT 1) s;
		SELECT prefetches FROM descartes_index_stats('words_fng')});
	my ($found, $before_search) = split /\n/, $loaded;

	is($found, 1, "the first query after a start, with effective_io_concurrency = $concurrency");
	cmp_ok($before_search, $concurrency ? '>=' : '<=', $concurrency ? 80 : 0,
		"its pages asked for ahead: $before_search");
}

# Temporary tables have buffers of their own
my $temp = q{
	SET temp_buffers = '800kB';
	CREATE TEMP TABLE passing AS SELECT id, embedding FROM words WHERE id < 3000;
	CREATE INDEX passing_fng ON passing USING fng (embedding vector_cosine_ops);
	ANALYZE passing;};
my ($temp_answers, $none) = search(0, 'passing', $temp);
my ($temp_same, $temp_ahead) = search(8, 'passing', $temp);
is($temp_same, $temp_answers, 'the same answers from a temporary table');
is($none, 0, 'no page of it is asked for ahead with effective_io_concurrency = 0');
cmp_ok($temp_ahead, '>', 0, "pages of it asked for ahead: $temp_ahead");

# What reads all pages does so with few buffers, too
drain_ok($node, 'words', '<=>', '(SELECT embedding FROM words_queries ORDER BY id LIMIT 1)', 'a drain');
cmp_ok($node->safe_psql('postgres', q{SELECT descartes_index_recall('words_fng', 50)}), '>=', 0.9,
	'recall is measured');
$node->safe_psql('postgres', 'DELETE FROM words WHERE id % 10 = 0');
$node->safe_psql('postgres', 'VACUUM words');
is($node->safe_psql('postgres', q{SELECT rows, dead_nodes FROM descartes_index_stats('words_fng')}),
	'13500|1500', 'VACUUM saw all pages');
check_index($node, 'words_fng', 1);
drain_ok($node, 'words', '<=>', '(SELECT embedding FROM words_queries ORDER BY id LIMIT 1)',
	'a drain after VACUUM');
$node->safe_psql('postgres', q{
	SET effective_io_concurrency = 16;
	INSERT INTO words (word, embedding) SELECT 'again', embedding FROM words ORDER BY id LIMIT 100});
check_index($node, 'words_fng', 1);

# All that the queries want in shared buffers, and sessions that have seen
# nothing of it yet
$node->append_conf('postgresql.conf', 'shared_buffers = 256MB');
$node->restart;
search(16, 'words', '');
my ($warm, $warm_ahead, $warm_reads, $hits) = search(0, 'words', '');
my ($still, $still_ahead, $still_reads, $still_hits) = search(16, 'words', '');
is($still, $warm, 'the same answers from shared buffers');
is("$warm_ahead $still_ahead $warm_reads $still_reads", '0 0 0 0', 'which are read no more');
is($still_hits, $hits, "and looked at as often: $hits");

$node->stop;
done_testing();
