# Indexes survive pg_dump and restore, and pg_basebackup of a server that is
# written to.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

srand(7);

my $node = start_node('main', "fsync = off\nautovacuum = off\nwal_consistency_checking = 'generic'",
	allows_streaming => 1);

create_generators($node);
$node->safe_psql('postgres', q{
	SELECT setseed(0.7);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(16));
	INSERT INTO t (embedding) SELECT CASE WHEN i % 50 = 0 THEN NULL ELSE clustered(16, 10) END
		FROM generate_series(1, 1200) i;
	CREATE INDEX t_fng ON t USING fng (embedding) WITH (max_neighbor_cnt = 48);
	CREATE TABLE u (id int, embedding vector(16));
	INSERT INTO u SELECT * FROM t;
	CREATE INDEX u_fng ON u USING fng ((embedding::vector(16)) vector_cosine_ops) WHERE id % 2 = 0;});

# Logical
foreach my $format ('plain', 'custom')
{
	my $file = $node->basedir . "/dump.$format";

	$node->command_ok([ 'pg_dump', '-F', $format, '-f', $file, $node->connstr('postgres') ],
		"dump, $format");
	$node->safe_psql('postgres', "CREATE DATABASE restored_$format");
	if ($format eq 'plain')
	{
		$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $file,
				$node->connstr('restored_plain') ], 'restore, plain');
	}
	else
	{
		$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored_custom'), $file ],
			'restore, custom');
	}
	my $definitions = q{SELECT indexdef FROM pg_indexes WHERE indexdef ~ 'fng' ORDER BY 1};
	is($node->safe_psql("restored_$format", $definitions), $node->safe_psql('postgres', $definitions),
		"definitions, $format");
	is($node->safe_psql("restored_$format", q{
			SET enable_seqscan = off;
			SELECT descartes_index_check('t_fng', true);
			SELECT descartes_index_check('u_fng', true);
			SELECT id FROM t ORDER BY embedding <-> array_fill(3, ARRAY[16])::vector LIMIT 20}),
		$node->safe_psql('postgres', q{
			SELECT NULL; SELECT NULL;
			SELECT id FROM t ORDER BY embedding <-> array_fill(3, ARRAY[16])::vector LIMIT 20}),
		"answers of the restored database, $format");
}

# Physical, while clients write
my $script = $node->basedir . '/load.sql';
append_to_file($script, q{
INSERT INTO t (embedding) SELECT clustered(16, 10) FROM generate_series(1, 3);
\set r random(1, 300)
DELETE FROM t WHERE id IN (SELECT id FROM t WHERE id % 300 = :r LIMIT 2 FOR UPDATE SKIP LOCKED);
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t;
});
my ($out, $err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '2', '-T', '600', '-f', $script, $node->connstr('postgres') ],
	'>', \$out, '2>', \$err);
$node->poll_query_until('postgres', 'SELECT max(id) > 1300 FROM t');
$node->backup('under_load');
$load->kill_kill;

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'under_load', has_streaming => 1);
$copy->start;
check_index($copy, 't_fng', 1);
drain_ok($copy, 't', '<->', vector_literal(16), 'backup under load, as a standby');
$copy->promote;
$copy->safe_psql('postgres', q{
	INSERT INTO t (embedding) SELECT clustered(16, 10) FROM generate_series(1, 100);
	VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t;});
check_index($copy, 't_fng', 1);
drain_ok($copy, 't', '<->', vector_literal(16), 'backup under load, promoted');

$copy->stop;
$node->stop;
done_testing();
