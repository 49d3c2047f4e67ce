# The life of a node: live, dead, unlinked, free, used again.  Each step waits
# for the horizon, leaves a sound index, and is replayed as it was made.

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

srand(8);

my $node = start_node('main', q{
wal_consistency_checking = 'generic'
wal_keep_size = '4GB'
max_wal_size = 4GB
autovacuum = off
fsync = off
}, allows_streaming => 1);

create_generators($node);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

# A table of each layout: type and operator class, rows, and the ratio of
# levels, which gives some of them levels between base and top.
my %tables = (
	plain => ['<->', 'vector_l2_ops', 16, 1500, 4096],
	levels => ['<->', 'vector_l2_ops', 8, 900, 3],
	product => ['<#>', 'vector_ip_ops', 24, 600, 4],
	cosine => ['<=>', 'vector_cosine_ops', 130, 600, 4096],
	long => ['<->', 'vector_l2_ops', 3000, 60, 4096],
	long_levels => ['<=>', 'vector_cosine_ops', 1200, 540, 4096],
	grown => ['<->', 'vector_l2_ops', 16, 0, 4096]);

sub vacuum
{
	my ($table) = @_;

	# an XID more, so that the stamps of the VACUUM before are behind the horizon
	$node->safe_psql('postgres', 'SELECT pg_current_xact_id()');
	$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table");
}

# Columns of descartes_index_stats
sub stats
{
	my ($table, @columns) = @_;

	return split /\|/, $node->safe_psql('postgres', sprintf(
			"SELECT %s FROM descartes_index_stats('%s_fng')", join(', ', @columns), $table));
}

# One test: the check finds nothing, not even to warn of.
sub sound_ok
{
	my ($server, $table, $name) = @_;
	my ($status, $out, $err) =
	  $server->psql('postgres', "SELECT descartes_index_check('${table}_fng', true)");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($err, '', "$table: $name: index is sound");
}

foreach my $table (sort keys %tables)
{
	my ($operator, $opclass, $dim, $n, $ratio) = @{ $tables{$table} };
	my $rows = $n || 800;
	my $between = $ratio < 4;
	my $insert = "INSERT INTO $table (embedding) SELECT clustered($dim, 12)";
	my ($nodes, $dead, $unlinked, $free, $before, $size);

	$node->safe_psql('postgres', qq{
		SELECT setseed(0.8);
		SET descartes.debug_level_ratio = $ratio;
		CREATE TABLE $table (id int GENERATED ALWAYS AS IDENTITY, embedding vector($dim));
		$insert FROM generate_series(1, $n);
		CREATE TABLE ${table}_queries AS SELECT i AS id, clustered($dim, 12) AS embedding
			FROM generate_series(1, 40) i;
		CREATE INDEX ${table}_fng ON $table USING fng (embedding $opclass);
		$insert FROM generate_series(1, $rows - $n);});

	# dead
	($nodes, $before) = stats($table, 'nodes', 'free_slots');
	$node->safe_psql('postgres', "DELETE FROM $table WHERE id % 5 = 0");
	vacuum($table);
	is(join('|', stats($table, qw(nodes dead_nodes unlinked_nodes))),
		join('|', $nodes - $rows / 5, $rows / 5, 0), "$table: nodes without rows are dead");
	sound_ok($node, $table, 'dead');

	# not yet unlinked: somebody may be about to link to them
	my $old = $node->background_psql('postgres');
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	$node->safe_psql('postgres', "DELETE FROM $table WHERE id % 5 = 1");
	vacuum($table);
	vacuum($table);
	is(join('|', stats($table, qw(dead_nodes unlinked_nodes))), $rows / 5 . '|0',
		"$table: rows that a snapshot sees keep their nodes");
	$old->query_safe('COMMIT');

	# unlinked; with levels between, those with copies wait for one VACUUM more
	vacuum($table);
	($dead, $unlinked, my $reachable, my $live) =
	  stats($table, qw(dead_nodes unlinked_nodes reachable_nodes nodes));
	cmp_ok($unlinked, '>', 0, "$table: nodes that died before are unlinked");
	is($dead + $unlinked, 2 * $rows / 5, "$table: none of them is lost");
	is($reachable, $live, "$table: all live nodes are reached");
	sound_ok($node, $table, 'unlinked');

	# not yet free: somebody may be on the way to them
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	vacuum($table);
	is((stats($table, 'free_slots'))[0], $before,
		"$table: a slot is not freed as long as a search may be under way");
	sound_ok($node, $table, 'waiting');
	$old->query_safe('COMMIT');
	$old->quit;

	# free
	vacuum($table) foreach 1 .. 5;
	is(join('|', stats($table, qw(dead_nodes unlinked_nodes free_slots reachable_nodes))),
		join('|', 0, 0, $before + 2 * $rows / 5, $rows - 2 * $rows / 5),
		"$table: all slots of the dead are free");
	sound_ok($node, $table, 'free');
	drain_ok($node, $table, $operator, vector_literal($dim), "$table: with free slots");

	# used again
	($free) = stats($table, 'free_slots');
	$node->safe_psql('postgres', "$insert FROM generate_series(1, $rows / 4)");
	is((stats($table, 'free_slots'))[0], $free - $rows / 4, "$table: new rows go to free slots");
	sound_ok($node, $table, 'used again');
	drain_ok($node, $table, $operator, vector_literal($dim), "$table: with slots used again");

	# ten rounds replace every row
	$node->safe_psql('postgres', "SET descartes.debug_level_ratio = $ratio; REINDEX INDEX ${table}_fng");
	$size = $node->safe_psql('postgres', "SELECT pg_relation_size('${table}_fng')");
	my $recall = recall($node, $table, $operator, 10, 40);
	$node->safe_psql('postgres', qq{
		CREATE TABLE ${table}_parts AS
			SELECT id, ntile(10) OVER (ORDER BY id % 7, id) AS part FROM $table;});
	foreach my $round (1 .. 10)
	{
		$node->safe_psql('postgres', qq{
			DELETE FROM $table USING ${table}_parts p WHERE p.id = $table.id AND part = $round;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			SELECT setseed(0.8$round);
			$insert FROM generate_series(1, (SELECT count(*) FROM $table) / 9);});
	}

	# of levels between, a slot in each few is a copy, and those are not found again
	cmp_ok($node->safe_psql('postgres', "SELECT pg_relation_size('${table}_fng')"),
		'<=', ($between ? 2.2 : 1.4) * $size, "$table: ten rounds of turnover: the index does not grow by much");
	my $after = recall($node, $table, $operator, 10, 40);
	cmp_ok($after, '>=', $recall - 0.02,
		"$table: ten rounds of turnover: recall\@10 $after, before $recall");
	sound_ok($node, $table, 'turned over');

	# all rows at once
	$node->safe_psql('postgres', "DELETE FROM $table");
	foreach my $round (1 .. 4)
	{
		vacuum($table);
		sound_ok($node, $table, "without rows, VACUUM $round");
	}
	vacuum($table) foreach 1 .. 2;
	cmp_ok((stats($table, 'dead_nodes'))[0], '<=', 4, "$table: the entry, with its copies, is left");
	($free) = stats($table, 'free_slots');
	$node->safe_psql('postgres', "$insert FROM generate_series(1, $rows / 2)");
	$after = recall($node, $table, $operator, 10, 40);
	cmp_ok($after, '>=', 0.95, "$table: recall\@10 after a refill: $after");
	cmp_ok((stats($table, 'free_slots'))[0], '<=', $free - $rows / 2,
		"$table: a refill takes the free slots");
	vacuum($table) foreach 1 .. 3;
	is(join('|', stats($table, qw(dead_nodes unlinked_nodes))), '0|0',
		"$table: in the end the old entry goes, too");
	sound_ok($node, $table, 'refilled');
	drain_ok($node, $table, $operator, vector_literal($dim), "$table: refilled");

	# the standby has it all
	$node->wait_for_catchup($standby);
	same_answers_ok($node, $standby, $table, $operator, 'ALL', [ vector_literal($dim) ],
		"$table: the standby answers like the primary");
	sound_ok($standby, $table, 'on the standby');
}

# pg_class has what the index has.
$node->safe_psql('postgres', q{
	DELETE FROM plain WHERE id % 3 = 0;
	VACUUM (INDEX_CLEANUP ON) plain;});
is($node->safe_psql('postgres',
		"SELECT reltuples, relpages = pg_relation_size(oid) / 8192 FROM pg_class WHERE relname = 'plain_fng'"),
	$node->safe_psql('postgres', 'SELECT count(*) FROM plain') . '|t', 'pg_class has the true figures');

# A VACUUM that breaks off, in the pass or while it calls nodes unlinked.
sub run_vacuum_until
{
	my ($query, $what) = @_;
	my $err;
	my $job = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'),
			'-c', 'SET vacuum_cost_delay = 35', '-c', 'SET vacuum_cost_limit = 200',
			'-c', 'VACUUM (INDEX_CLEANUP ON) plain' ],
		'2>', \$err);
	my $done;

	foreach (1 .. 4000)
	{
		last if $done = $node->safe_psql('postgres', $query) eq 't';
		usleep(5000);
	}
	$node->safe_psql('postgres',
		"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'VACUUM%'");
	$job->finish;
	ok($done && $err =~ /canceling statement/, "VACUUM comes to $what and is cancelled there");
}

$node->safe_psql('postgres', 'INSERT INTO plain (embedding) SELECT clustered(16, 12) FROM generate_series(1, 1500)');
vacuum('plain') foreach 1 .. 3;
$node->safe_psql('postgres', 'DELETE FROM plain WHERE id % 3 = 1');
vacuum('plain');
$node->safe_psql('postgres', 'SELECT pg_current_xact_id()');
my ($doomed) = stats('plain', 'dead_nodes');
run_vacuum_until("SELECT pg_sleep(0.5) IS NOT NULL FROM pg_stat_progress_vacuum
	WHERE phase IN ('vacuuming indexes', 'cleaning up indexes')", 'its pass');
is(join('|', stats('plain', qw(dead_nodes unlinked_nodes))), "$doomed|0",
	'cancelled in the pass: no node is unlinked');
sound_ok($node, 'plain', 'cancelled in the pass');
run_vacuum_until("SELECT unlinked_nodes > 0 FROM descartes_index_stats('plain_fng')", 'unlinking');
my ($some_dead, $some_unlinked) = stats('plain', qw(dead_nodes unlinked_nodes));
cmp_ok($some_dead * $some_unlinked, '>', 0,
	"cancelled while it unlinks: $some_dead nodes are dead, $some_unlinked unlinked");
sound_ok($node, 'plain', 'cancelled while it unlinks');
vacuum('plain');
is(join('|', stats('plain', qw(dead_nodes unlinked_nodes))), "0|$doomed",
	'the next VACUUM unlinks the rest and frees none');
sound_ok($node, 'plain', 'after the next VACUUM');
my ($free_before) = stats('plain', 'free_slots');
vacuum('plain');
is((stats('plain', 'free_slots'))[0], $free_before + $doomed, 'and the one after it frees all');
sound_ok($node, 'plain', 'after the VACUUM after it');
$node->wait_for_catchup($standby);
sound_ok($standby, 'plain', 'on the standby, after VACUUMs that broke off');

$standby->stop;
$node->stop;
done_testing();
