# A build that is cancelled, in whichever phase, leaves nothing behind; queries
# are cancelled anywhere.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

srand(8);

my $node = start_node('main', "fsync = off\nautovacuum = off\nmax_wal_size = 1GB\n"
	  . "max_worker_processes = 12\nmax_parallel_workers = 8\nmax_parallel_maintenance_workers = 2");

create_generators($node);
$node->safe_psql('postgres', q{
	SELECT setseed(0.8);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(64));
	INSERT INTO t (embedding) SELECT clustered(64, 20) FROM generate_series(1, 3000);
	CREATE TABLE long (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(3000));
	INSERT INTO long (embedding) SELECT clustered(3000, 3) FROM generate_series(1, 60);
	ALTER TABLE t SET (parallel_workers = 2);
	ALTER TABLE long SET (parallel_workers = 2);});

# Files of the database and temporary files, apart from those of catalogs
# that VACUUM and the statements themselves may add
sub files
{
	my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
	my $dir = $node->data_dir . "/base/$oid";

	$node->safe_psql('postgres', 'CHECKPOINT');
	return join ' ', (grep { !/_fsm$|_vm$/ } sort(slurp_dir($dir))),
	  (grep { !/^\.\.?$/ } -d "$dir/../pgsql_tmp" ? slurp_dir("$dir/../pgsql_tmp") : ());
}

# Builds are those of a team: what is cancelled is a leader with its workers.
# How long does one take?
my $start = time();
$node->safe_psql('postgres', 'CREATE INDEX t_fng ON t USING fng (embedding); DROP INDEX t_fng;');
my $duration = time() - $start;
note("a build takes $duration s");

# By statement_timeout, at points spread over the whole build
my $before = files();
my %phases;
my $cancelled = 0;
my $memory = '';
foreach my $i (1 .. 15)
{
	my $timeout = int(1000 * $duration * $i / 18) + 1;
	my $settings = $i % 3 == 0 ? "SET maintenance_work_mem = '1MB';" : '';

	$settings .= 'SET descartes.debug_build_in_file = on;' if $i % 4 == 1;
	my (undef, undef, $err) = $node->psql('postgres',
		"SET client_min_messages = warning; $settings SET statement_timeout = $timeout;
		CREATE INDEX t_fng ON t USING fng (embedding);");

	if ($err =~ /canceling statement due to statement timeout/)
	{
		$cancelled++;
	}
	else
	{
		is($err, '', 'a build that was faster than its timeout');
		$node->safe_psql('postgres', 'DROP INDEX t_fng');
	}
}
cmp_ok($cancelled, '>=', 8, "builds cancelled by timeout: $cancelled");
is(files(), $before, 'no file is left');

# By pg_cancel_backend and pg_terminate_backend, in each phase that the server
# reports; short ones may slip through.
my @names = ('loading tuples', 'rotating', 'finding neighbors', 'selecting edges',
	'adding reverse edges', 'connecting', 'ordering', 'writing',
	'checking that nodes are found', 'calibrating');
foreach my $wanted (@names)
{
	my $how = scalar(keys %phases) % 2 ? 'pg_cancel_backend' : 'pg_terminate_backend';
	my $table = $wanted =~ /writing|rotating/ ? 'long' : 't';
	my ($out, $err) = ('', '');
	my $build = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
			"CREATE INDEX ${table}_fng ON $table USING fng (embedding)" ],
		'>', \$out, '2>', \$err);

	my $found = $node->safe_psql('postgres', qq{
		CREATE TEMP TABLE found (phase text);
		DO \$\$
		DECLARE
			now_in text;
			begun boolean := false;
		BEGIN
			FOR i IN 1 .. 100000 LOOP
				PERFORM pg_stat_clear_snapshot();
				SELECT phase INTO now_in FROM pg_stat_progress_create_index;
				EXIT WHEN begun AND NOT FOUND;
				begun := begun OR FOUND;
				IF now_in = 'building index: $wanted' THEN
					PERFORM $how(pid) FROM pg_stat_progress_create_index;
					INSERT INTO found VALUES (now_in);
					EXIT;
				END IF;
			END LOOP;
		END \$\$;
		SELECT phase FROM found;});
	$phases{$found} = 1 if $found ne '';
	$build->finish;
	$node->safe_psql('postgres',
		"SET client_min_messages = warning; DROP INDEX IF EXISTS ${table}_fng");
}
note("phases stopped: " . join(', ', sort keys %phases));
cmp_ok(scalar(keys %phases), '>=', 4, 'builds were stopped in several phases');
is(files(), $before, 'no file is left of builds cancelled or terminated');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname ~ 'fng'}), '0',
	'no index is left');

# A worker that is terminated takes the build along, whenever that happens: at
# points spread over the time of a build, as often as it takes to meet two.
my $terminated = 0;
foreach my $i (0 .. 39)
{
	last if $terminated >= 2;
	my $pause = $duration * ($i % 8) / 10;
	my ($out, $err) = ('', '');
	my $build = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
			'CREATE INDEX t_fng ON t USING fng (embedding)' ],
		'>', \$out, '2>', \$err);

	$node->safe_psql('postgres', qq{
		DO \$\$
		BEGIN
			FOR i IN 1 .. 20000 LOOP
				PERFORM pg_stat_clear_snapshot();
				EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'parallel worker');
			END LOOP;
			PERFORM pg_sleep($pause);
			PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE backend_type = 'parallel worker' LIMIT 1;
		END \$\$;});
	$build->finish;
	if ($err =~ /ERROR|FATAL/)
	{
		$terminated++;
		like($err, qr/terminating|lost connection to parallel worker/, "what is said: $err");
	}
	$node->safe_psql('postgres', 'SET client_min_messages = warning; DROP INDEX IF EXISTS t_fng');
}
cmp_ok($terminated, '>=', 2, "builds whose worker was terminated: $terminated");
is(files(), $before, 'no file is left of them');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}),
	'0', 'no worker is left');

# A build that fails by its data leaves nothing behind either.
$node->safe_psql('postgres', q{
	CREATE TABLE bare (id int, embedding vector);
	INSERT INTO bare SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 500) i;
	INSERT INTO bare VALUES (501, '[1,2,3]');
	ALTER TABLE bare SET (parallel_workers = 2);});
$before = files();
my (undef, undef, $error) = $node->psql('postgres',
	'CREATE INDEX bare_fng ON bare USING fng ((embedding::vector(2)))');
like($error, qr/expected 2 dimensions, not 3/, 'a row of other dimensions stops the build');
is(files(), $before, 'no file is left of a build that failed');

# Queries: the session goes on, and the same query then gives all rows.
$node->safe_psql('postgres', q{
	CREATE INDEX t_fng ON t USING fng (embedding);
	CREATE INDEX long_fng ON long USING fng (embedding);});
my $stopped = 0;
foreach my $table (('t') x 10, ('long') x 5)
{
	my $query = sprintf('SELECT count(*) FROM (SELECT id FROM %s ORDER BY embedding <-> %s OFFSET 0) s',
		$table, vector_literal($table eq 't' ? 64 : 3000));
	my $timeout = 1 + int(rand(12));
	my (undef, $out, $err) = $node->psql('postgres', qq{
		SET enable_seqscan = off;
		SET enable_sort = off;
		SET work_mem = '64kB';
		SET statement_timeout = $timeout;
		$query;
		RESET statement_timeout;
		$query;}, on_error_stop => 0);

	$stopped++ if $err =~ /canceling statement due to statement timeout/;
	is((split /\n/, $out)[-1], $table eq 't' ? 3000 : 60, "all rows of $table after a timeout of $timeout ms");
}
note("queries cancelled: $stopped");
cmp_ok($stopped, '>', 0, 'some queries were cancelled');

# Inserts and VACUUM, too
foreach my $i (1 .. 10)
{
	my $timeout = 1 + int(rand(100));

	$node->psql('postgres', qq{
		SET statement_timeout = $timeout;
		INSERT INTO t (embedding) SELECT clustered(64, 20) FROM generate_series(1, 30);
		DELETE FROM t WHERE id % 50 = $i;
		VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t;}, on_error_stop => 0);
}
check_index($node, 't_fng', 1);
drain_ok($node, 't', '<->', vector_literal(64), 'after cancelled inserts and VACUUMs');

$node->stop;
done_testing();
