# CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY while clients write.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Utils;
use Test::More;

srand(5);

my $node = start_node('main', "fsync = off\nautovacuum = off\nmax_wal_size = 1GB");

create_generators($node);
$node->safe_psql('postgres', q{
	SELECT setseed(0.5);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(16));
	INSERT INTO t (embedding) SELECT clustered(16, 10) FROM generate_series(1, 1500);});

my $script = $node->basedir . '/load.sql';
append_to_file($script, q{
\set r random(1, 100)
INSERT INTO t (embedding) SELECT clustered(16, 10) FROM generate_series(1, 3);
INSERT INTO t (embedding) VALUES (NULL), (centre(16, 1)::vector);
DELETE FROM t WHERE id IN (SELECT id FROM t WHERE id % 100 = :r LIMIT 3 FOR UPDATE SKIP LOCKED);
UPDATE t SET embedding = clustered(16, 10) WHERE id IN
	(SELECT id FROM t WHERE id % 100 = 100 - :r LIMIT 2 FOR UPDATE SKIP LOCKED);
BEGIN;
INSERT INTO t (embedding) SELECT clustered(16, 10);
ROLLBACK;
});
my ($out, $err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '3', '-T', '600', '-f', $script,
		$node->connstr('postgres') . " application_name=load" ],
	'>', \$out, '2>', \$err);
$node->poll_query_until('postgres', 'SELECT count(*) > 1700 FROM t');

$node->safe_psql('postgres', 'CREATE INDEX CONCURRENTLY t_fng ON t USING fng (embedding)');
check_index($node, 't_fng', 1);
drain_ok($node, 't', '<->', vector_literal(16), 'built concurrently, under load');
foreach my $round (1 .. 3)
{
	$node->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY t_fng');
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t') if $round == 2;
	drain_ok($node, 't', '<->', vector_literal(16), "rebuilt concurrently, under load, round $round");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'load'}),
	'3', 'no client has failed');
$load->kill_kill;
unlike($err, qr/ERROR|error:/, 'no client had an error');
$node->poll_query_until('postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'load'});
check_index($node, 't_fng', 1);
drain_ok($node, 't', '<->', vector_literal(16), 'in the end');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_index
	WHERE indrelid = 't'::regclass AND NOT indisvalid}), '0', 'no invalid index is left');

$node->stop;
done_testing();
