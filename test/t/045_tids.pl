# Pages of heap TIDs that VACUUM has emptied are used again: an index whose
# NULL rows, NaN rows and equal rows come and go does not grow.  Readers on the
# way, on a standby too, get every row once or an error; crashes lose no page.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

srand(5);

my $node = start_node('main', q{
wal_consistency_checking = 'generic'
autovacuum = off
fsync = off
restart_after_crash = on
max_wal_size = 1GB
}, allows_streaming => 1);

# Rows of one kind: NULL, zero (at distance NaN under cosine), one of three
# vectors, and a few of their own.
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, embedding vector(4));
	CREATE INDEX t_fng ON t USING fng (embedding vector_cosine_ops);
	CREATE FUNCTION fill(n int, others int DEFAULT 50) RETURNS void LANGUAGE sql AS $$
		INSERT INTO t (kind, embedding)
			SELECT 'null', NULL FROM generate_series(1, n);
		INSERT INTO t (kind, embedding)
			SELECT 'zero', '[0,0,0,0]' FROM generate_series(1, n);
		INSERT INTO t (kind, embedding)
			SELECT 'equal', ARRAY[1, 2, 3, i % 3]::vector FROM generate_series(1, n) i;
		INSERT INTO t (kind, embedding)
			SELECT 'other', ARRAY[random(), random(), random(), 1]::vector
			FROM generate_series(1, others) i $$;
	SELECT fill(6000);});

my $vacuum = 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t';
my $size = q{SELECT pg_relation_size('t_fng') / 8192};
my $query = "'[1,2,3,4]'";

# Which of the oldest rows of each kind go in a round
sub delete_oldest
{
	my ($n) = @_;
	return qq{DELETE FROM t WHERE id IN (SELECT id FROM (SELECT id, kind, row_number()
		OVER (PARTITION BY kind ORDER BY id) AS r FROM t) x WHERE r <= $n AND kind <> 'other');};
}

my @sizes;
foreach my $round (1 .. 8)
{
	$node->safe_psql('postgres', delete_oldest(3000));
	$node->safe_psql('postgres', "$vacuum; SELECT txid_current()");
	$node->safe_psql('postgres', 'SELECT fill(3000, 0)');
	push @sizes, $node->safe_psql('postgres', $size);
	check_index($node, 't_fng', 1);
}
cmp_ok($sizes[7] - $sizes[2], '<=', 8,
	"the index grows by a few nodes of equal rows at most, not by 7 pages a round: @sizes");
drain_ok($node, 't', '<=>', $query, 'after the rounds');

# When no row is left of a vector, its nodes die, and their chains are free.
$node->safe_psql('postgres', "DELETE FROM t WHERE kind = 'equal'; $vacuum");
$node->safe_psql('postgres', $vacuum);
is($node->safe_psql('postgres', q{SELECT count(*) FROM t WHERE kind = 'equal'}), 0, 'no equal rows');
my ($nodes, $others) = split /\|/, $node->safe_psql('postgres', q{
	SELECT (SELECT nodes FROM descartes_index_stats('t_fng')),
		(SELECT count(*) FROM t WHERE kind = 'other')});
is($nodes, $others, 'nodes without a row have died');
check_index($node, 't_fng', 1);
my $before = $node->safe_psql('postgres', $size);
$node->safe_psql('postgres', q{INSERT INTO t (kind, embedding)
	SELECT 'equal', ARRAY[1, 2, 3, i % 3]::vector FROM generate_series(1, 6000) i});
cmp_ok($node->safe_psql('postgres', $size) - $before, '<=', 4, 'equal rows take the pages that were theirs');
check_index($node, 't_fng', 1);

# A cursor that stands in the middle of each chain when its pages go and are
# asked for again: it sees what its snapshot does, once each.
foreach my $kind (qw(null zero equal))
{
	my $reader = $node->background_psql('postgres', on_error_die => 1);
	my $visible = $node->safe_psql('postgres', 'SELECT count(*) FROM t');
	my $first = { equal => 2000, zero => undef, null => undef }->{$kind};

	# equal rows come first, then the others, then zero, then NULL
	my ($equal, $other, $zero) = split /\|/, $node->safe_psql('postgres', q{
		SELECT count(*) FILTER (WHERE kind = 'equal'), count(*) FILTER (WHERE kind = 'other'),
			count(*) FILTER (WHERE kind = 'zero') FROM t});
	$first = $equal + $other + 2000 if $kind eq 'zero';
	$first = $equal + $other + $zero + 2000 if $kind eq 'null';

	$reader->query_safe(qq{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
		CREATE TEMP TABLE seen_$kind (id int);
		DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <=> $query;
		DO \$\$
		DECLARE c refcursor := 'c'; r int;
		BEGIN
			FOR i IN 1 .. $first LOOP
				FETCH c INTO r; INSERT INTO seen_$kind VALUES (r);
			END LOOP;
		END \$\$;});
	$node->safe_psql('postgres', delete_oldest(5000));
	$node->safe_psql('postgres', $vacuum);
	$node->safe_psql('postgres', 'SELECT fill(5000)');
	$node->safe_psql('postgres', $vacuum);
	my $counts = $reader->query_safe(qq{
		DO \$\$
		DECLARE c refcursor := 'c'; r int;
		BEGIN
			LOOP
				FETCH c INTO r; EXIT WHEN NOT FOUND; INSERT INTO seen_$kind VALUES (r);
			END LOOP;
		END \$\$;
		SELECT count(*) || '|' || count(DISTINCT id) FROM seen_$kind;
		ROLLBACK;});
	is($counts, "$visible|$visible", "a cursor in the chain of $kind rows sees each row once");
	$reader->quit;
	$node->safe_psql('postgres', $vacuum);
	check_index($node, 't_fng', 1);
}

# On a standby a reader in a page that is used again is canceled.  Its
# snapshot does not see the rows that go, so nothing else cancels it.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 1s");
$standby->start;

$node->safe_psql('postgres', q{
	CREATE TABLE n (id int GENERATED ALWAYS AS IDENTITY, embedding vector(4));
	CREATE INDEX n_fng ON n USING fng (embedding);
	INSERT INTO n (embedding) SELECT NULL FROM generate_series(1, 4000);
	DELETE FROM n WHERE id BETWEEN 1000 AND 3000;});
$node->wait_for_catchup($standby);
my $reader = $standby->background_psql('postgres', on_error_stop => 0);
$reader->query_safe(q{
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
	DECLARE c CURSOR FOR SELECT id FROM n ORDER BY embedding <-> '[1,2,3,4]';
	MOVE 700 FROM c;});

# (What the cursor has pinned of the table is not vacuumed.)  The page of rows
# from 1351 to 2700 goes, and comes back as the head
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) n');
check_index($node, 'n_fng', 1);
$node->wait_for_catchup($standby);
is($reader->query('SELECT 1'), '1', 'taking a page out of its chain cancels no query');
$before = $node->safe_psql('postgres', q{SELECT pg_relation_size('n_fng')});
$node->safe_psql('postgres', 'SELECT txid_current()');
$node->safe_psql('postgres', q{INSERT INTO n (embedding) SELECT NULL FROM generate_series(1, 1500)});
is($node->safe_psql('postgres', q{SELECT pg_relation_size('n_fng')}), $before, 'the page is used again');
$node->wait_for_catchup($standby);
eval { $reader->query('FETCH ALL FROM c') };
like(slurp_file($standby->logfile), qr/row versions that must be removed/,
	'using it again cancels a query that may be there');
eval { $reader->quit };
is($standby->safe_psql('postgres', q{SET enable_seqscan = off; SET enable_sort = off;
	SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM n ORDER BY embedding <-> '[1,2,3,4]') x}),
	'3499|3499', 'a new query sees each row once');
check_index($standby, 'n_fng', 1);
$standby->stop;

# Crashes while chains shrink and grow
foreach my $crash (1 .. 5)
{
	my $script = join(';', ('SELECT fill(1500)', delete_oldest(1500), $vacuum) x 50);
	my $output;
	my $client = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', 'SELECT 1' ,
		map { ('-c', $_) } split(/;/, $script) ], '>', \$output, '2>', \$output);

	usleep(300_000 + int(rand(1_500_000)));
	$node->stop('immediate');
	eval { $client->finish };
	$node->start;
	check_index($node, 't_fng', 1);
	drain_ok($node, 't', '<=>', $query, "after crash $crash");
	$node->safe_psql('postgres', $vacuum);
	check_index($node, 't_fng', 1);
}

$node->stop;
done_testing();
