# CREATE INDEX by several processes: the same index as by one, whatever they
# share their memory in, and what they count reaches the leader.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

srand(7);

my $node = start_node('main', q{
fsync = off
autovacuum = off
max_wal_size = 4GB
wal_level = replica
shared_preload_libraries = 'pg_stat_statements'
max_worker_processes = 12
max_parallel_workers = 8
synchronize_seqscans = off
});

create_generators($node);
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_stat_statements;
	SELECT setseed(0.7);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(48), note text);
	INSERT INTO t (embedding) SELECT clustered(48, 200) FROM generate_series(1, 12000);
	-- equal rows, NULLs, and rows without a distance under cosine
	INSERT INTO t (embedding) SELECT array_fill(i % 3, ARRAY[48])::vector FROM generate_series(1, 300) i;
	INSERT INTO t (embedding) SELECT NULL FROM generate_series(1, 700);
	CREATE TABLE long (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(2500));
	INSERT INTO long (embedding) SELECT clustered(2500, 5) FROM generate_series(1, 150);
	CREATE TABLE t_queries (id int, embedding vector(48));
	INSERT INTO t_queries SELECT i, clustered(48, 200) FROM generate_series(1, 100) i;
	CREATE TABLE few (id int, embedding vector(4));
	INSERT INTO few VALUES (1, '[1,2,3,4]'), (2, NULL);
	CREATE TABLE none (id int, embedding vector(4));
	ALTER TABLE t SET (parallel_workers = 8);
	ALTER TABLE long SET (parallel_workers = 8);
	ALTER TABLE few SET (parallel_workers = 8);
	ALTER TABLE none SET (parallel_workers = 8);
	VACUUM ANALYZE t, long;});

my %processes;
my %progress;

# Creates an index in the background and counts the processes that build it;
# afterwards checks it.  Returns what the build had to say.
sub build
{
	my ($table, $opclass, $workers, $settings) = @_;
	my ($out, $err) = ('', '');
	my $most = 0;
	my $command = "SET max_parallel_maintenance_workers = $workers; $settings;"
	  . "DROP INDEX IF EXISTS built; CREATE INDEX built ON $table USING fng (embedding $opclass)";
	my $build = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
			map { ('-c', $_) } split(/;/, $command) ],
		'>', \$out, '2>', \$err);

	while ($build->pumpable)
	{
		my ($n, $phase, $done, $total) = split /\|/, $node->safe_psql('postgres', q{
			SELECT (SELECT count(*) FROM pg_stat_activity
				WHERE query ~ '^ ?CREATE INDEX built' AND pid <> pg_backend_pid()),
				p.phase, p.tuples_done, p.tuples_total
			FROM (VALUES (1)) v LEFT JOIN pg_stat_progress_create_index p ON true});

		$most = $n if $n > $most;
		push @{ $progress{$phase} }, [ $done, $total ] if $phase;
		$build->pump_nb;
		usleep(5000);
	}
	$build->finish;
	$processes{"$table $workers"} = $most;
	die "$command: $err" if $err =~ /ERROR/;
	check_index($node, 'built', 1);
	return $err;
}

# Teams of one, two, three and more, of memory and of a file
my $file = 'SET descartes.debug_build_in_file = on';
my %recall;
foreach my $workers (0, 1, 2, 5)
{
	build('t', 'vector_l2_ops', $workers, "SET maintenance_work_mem = '256MB'");
	$recall{$workers} = recall($node, 't', '<->', 10, 100, 'SET descartes.search_res_cnt = 20');
	cmp_ok($recall{$workers}, '>=', 0.97, "recall with $workers workers: $recall{$workers}");
	drain_ok($node, 't', '<->', vector_literal(48), "with $workers workers");
}
is($processes{'t 0'}, 1, 'one process without workers');
cmp_ok($processes{'t 1'}, '==', 2, 'two with one');
cmp_ok($processes{'t 2'}, '==', 3, 'three with two');
build('t', 'vector_cosine_ops', 2, $file);
drain_ok($node, 't', '<=>', vector_literal(48), 'in a file, cosine');
build('t', 'vector_ip_ops', 3, $file);
drain_ok($node, 't', '<#>', vector_literal(48), 'in a file, inner product');
build('t', 'vector_l2_ops', 2, "$file; SET descartes.debug_level_ratio = 3");
drain_ok($node, 't', '<->', vector_literal(48), 'in a file, several levels');
build('long', 'vector_l2_ops', 3, '');
drain_ok($node, 'long', '<->', vector_literal(2500), 'vectors of several pages');
foreach my $table ('few', 'none')
{
	build($table, 'vector_l2_ops', 3, '');
	drain_ok($node, $table, '<->', vector_literal(4), "table $table");
}

# No worker to be had, though they are asked for
build('t', 'vector_l2_ops', 4, 'SET max_parallel_workers = 0');
is($processes{'t 4'}, 1, 'without workers to be had the leader builds alone');

# Phases have names, and what is done is never more than the total.
note("$_: " . join(' ', map { "$_->[0]/$_->[1]" } @{ $progress{$_} })) foreach sort keys %progress;
cmp_ok(scalar(grep { /^building index: \w/ } keys %progress), '>=', 6, 'phases seen by their names');
is(scalar(grep { $_->[1] > 0 && $_->[0] > $_->[1] } map { @$_ } values %progress), 0,
	'no more is done than there is to do');
foreach my $phase ('finding neighbors', 'adding reverse edges')
{
	my %done = map { $_->[0] => 1 } @{ $progress{"building index: $phase"} };

	cmp_ok(scalar(keys %done), '>', 2, "progress of \"$phase\" moves");
}

# More rows than memory has room for: said before, and no row is lost
my $said = build('t', 'vector_l2_ops', 2, "SET maintenance_work_mem = '3MB'");
like($said, qr/NOTICE:  graph of 12300 rows does not fit into maintenance_work_mem/, 'notice');
like($said, qr/HINT:  Set maintenance_work_mem to \d+MB or more/, 'hint');
drain_ok($node, 't', '<->', vector_literal(48), 'with too little memory');
my ($needed) = $said =~ /Set maintenance_work_mem to (\d+MB)/;
unlike(build('t', 'vector_l2_ops', 2, "SET maintenance_work_mem = '$needed'"), qr/NOTICE:  graph/,
	"the setting that the hint names, $needed, does");

# Concurrently, with an expression, partial: what workers have to set up
$node->safe_psql('postgres', 'DROP INDEX built');
$node->safe_psql('postgres', q{SET max_parallel_maintenance_workers = 2;
	CREATE INDEX part ON t USING fng ((embedding::vector(48))) WHERE id % 2 = 0});
check_index($node, 'part', 1);
$node->safe_psql('postgres', 'DROP INDEX part');
foreach my $how ('CREATE INDEX CONCURRENTLY conc ON t USING fng (embedding)',
	'REINDEX INDEX CONCURRENTLY conc')
{
	$node->psql('postgres', '', extra_params => [ '-c', 'SET max_parallel_maintenance_workers = 2', '-c', $how ]);
	check_index($node, 'conc', 1);
}
drain_ok($node, 't', '<->', vector_literal(48), 'built concurrently');

# Unlogged and temporary tables
$node->safe_psql('postgres', q{
	SET max_parallel_maintenance_workers = 2;
	CREATE UNLOGGED TABLE u AS SELECT id, embedding FROM t WHERE id < 3000;
	ALTER TABLE u SET (parallel_workers = 4);
	CREATE INDEX u_fng ON u USING fng (embedding);
	SELECT descartes_index_check('u_fng', true);
	CREATE TEMP TABLE x AS SELECT id, embedding FROM t WHERE id < 3000;
	ALTER TABLE x SET (parallel_workers = 4);
	CREATE INDEX x_fng ON x USING fng (embedding);
	SELECT descartes_index_check('x_fng', true);});
pass('unlogged and temporary tables');

# The workers' WAL counts as the leader's: each page is logged once, whole.
$node->safe_psql('postgres', 'SELECT pg_stat_statements_reset()');
$node->safe_psql('postgres', q{SET max_parallel_maintenance_workers = 3;
	CREATE INDEX wal ON t USING fng (embedding)});
my ($wal, $images, $size, $touched) = split /\|/, $node->safe_psql('postgres', q{
	SELECT wal_bytes, wal_fpi, pg_relation_size('wal'), shared_blks_dirtied + shared_blks_hit
	FROM pg_stat_statements WHERE query ~ '^CREATE INDEX wal'});
cmp_ok($images, '>=', $size / 8192, "full page images: $images");
cmp_ok($wal, '>=', 0.9 * $size, "bytes of WAL, $wal, of an index of $size");
cmp_ok($touched, '>=', 12000, "pages touched: $touched");
$node->safe_psql('postgres', 'DROP INDEX wal');

# Tuples that a scan counts make up those of pg_class.
is($node->safe_psql('postgres', q{SELECT reltuples FROM pg_class WHERE relname = 'conc'}), '13000',
	'reltuples of the index');

# A broken HOT chain, whichever process meets it, keeps older snapshots off the
# index.
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t;');
$node->safe_psql('postgres', q{
	CREATE TABLE hot (id int, embedding vector(48)) WITH (fillfactor = 40, parallel_workers = 3);
	INSERT INTO hot SELECT id, embedding FROM t WHERE id <= 4000 ;});
$old->query_safe('COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM hot;');
$node->safe_psql('postgres', 'UPDATE hot SET embedding = clustered(48, 5) WHERE id > 3900');
$node->safe_psql('postgres', q{SET max_parallel_maintenance_workers = 3;
	CREATE INDEX hot_fng ON hot USING fng (embedding)});
is($node->safe_psql('postgres', q{SELECT indcheckxmin FROM pg_index WHERE indexrelid = 'hot_fng'::regclass}),
	't', 'indcheckxmin after a parallel build over broken HOT chains');
$old->query_safe('COMMIT');
$old->quit;
check_index($node, 'hot_fng', 1);

# One process, same rows, same seed: the same pages but for LSN and checksum
sub pages
{
	my ($index, $options) = @_;

	$node->safe_psql('postgres', "SET max_parallel_maintenance_workers = 0;
		CREATE INDEX $index ON t USING fng (embedding) $options; CHECKPOINT");
	my $path = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$index')");
	my $bytes = slurp_file($path);

	$node->safe_psql('postgres', "DROP INDEX $index");
	return join '', map { substr($_, 10) } unpack('(a8192)*', $bytes);
}
my $once = pages('a', 'WITH (seed = 5)');
ok($once eq pages('b', 'WITH (seed = 5)'), 'same seed, same pages');
ok($once ne pages('c', 'WITH (seed = 6)'), 'another seed, other pages');

$node->stop;
done_testing();
