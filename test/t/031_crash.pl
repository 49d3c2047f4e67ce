# kill -9 during build, insert and VACUUM, twenty times and more: afterwards
# the index is sound and every row is there.
#
# The victim is found in the server's views of progress and activity, after a
# delay that srand makes repeatable, or it is the whole server.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

srand(2);

my $node = start_node('main', q{
fsync = off
autovacuum = off
restart_after_crash = on
checkpoint_timeout = 30s
max_wal_size = 128MB
shared_buffers = 16MB
});

create_generators($node);
$node->safe_psql('postgres', q{
	SELECT setseed(0.2);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(16));
	INSERT INTO t (embedding) SELECT CASE WHEN i % 50 = 0 THEN NULL
			WHEN i % 20 = 0 THEN centre(16, 1)::vector
			ELSE clustered(16, 12) END
		FROM generate_series(1, 2000) i;
	CREATE INDEX t_fng ON t USING fng (embedding);
	CREATE TABLE long (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(2000));
	INSERT INTO long (embedding) SELECT clustered(2000, 5) FROM generate_series(1, 20) i;
	CREATE INDEX long_fng ON long USING fng (embedding);
	CREATE TABLE fresh (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(16));
	CREATE INDEX fresh_fng ON fresh USING fng (embedding);});

my @tables = (['t', 16], ['long', 2000], ['fresh', 16]);

# What runs when the victim dies.  Statements commit one by one.
my $inserts = join("\n", map { qq{
	INSERT INTO t (embedding) SELECT clustered(16, 12) FROM generate_series(1, 5);
	INSERT INTO fresh (embedding) SELECT clustered(16, 3) FROM generate_series(1, 3);
	INSERT INTO t (embedding) SELECT centre(16, 1)::vector FROM generate_series(1, 3);
	INSERT INTO t (embedding) VALUES (NULL);
	INSERT INTO long (embedding) SELECT clustered(2000, 5);
	UPDATE t SET embedding = clustered(16, 12) WHERE id % 500 = $_ % 500;} } 1 .. 400);
my $vacuums = "SET vacuum_cost_delay = 2; SET vacuum_cost_limit = 100;\n" . join("\n", map { qq{
	DELETE FROM t WHERE id % 17 = $_ % 17 AND id % 3 = 0;
	DELETE FROM long WHERE id % 17 = $_ % 17;
	DELETE FROM fresh WHERE id % 17 = $_ % 17;
	VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t;
	VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) long;
	VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) fresh;} } 1 .. 200);
my $builds = join("\n", map { q{
	REINDEX INDEX t_fng;
	REINDEX INDEX long_fng;
	CREATE INDEX other_fng ON t USING fng (embedding vector_cosine_ops);
	DROP INDEX other_fng;} } 1 .. 100);

# Start psql with a script, in the background.
my $njobs = 0;
sub background
{
	my ($script) = @_;
	my $file = $node->basedir . '/job' . $njobs++ . '.sql';

	append_to_file($file, $script);
	return IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $file ],
		'>', "$file.out", '2>', "$file.err");
}

# Kill one backend that does what the query says, and wait for the server to
# recover by itself.
sub kill_backend
{
	my ($what, $query) = @_;
	my $pid;

	foreach my $try (1 .. 300)
	{
		my $out = '';

		$node->psql('postgres', $query, stdout => \$out);
		($pid) = $out =~ /^(\d+)/;
		last if $pid;
		usleep(10_000);
	}
	$pid or die "nobody is in $what";
	# somewhere within the statement
	usleep(int(rand(30_000)));
	kill 'KILL', $pid;
	$node->poll_query_until('postgres', 'SELECT pg_postmaster_start_time() IS NOT NULL', 't');
}

# Kill all processes of the server at once, and start it anew.
sub kill_server
{
	my ($pid) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	my @children = split /\n/, `ps -o pid= --ppid $pid`;

	usleep(int(rand(300_000)));
	kill 'KILL', $pid, @children;
	foreach my $try (1 .. 500)
	{
		last unless grep { kill 0, $_ } $pid, @children;
		usleep(20_000);
	}
	$node->{_pid} = undef;
	$node->start;
}

my %victims = (
	build => [ $builds, q{SELECT pid FROM pg_stat_progress_create_index} ],
	insert => [ $inserts, q{SELECT pid FROM pg_stat_activity
		WHERE state = 'active' AND query ~ '^(INSERT|UPDATE)'} ],
	vacuum => [ $vacuums, q{SELECT pid FROM pg_stat_activity
		WHERE state = 'active' AND query ~ '^VACUUM'} ],
	server => [ $builds ]);

my @plan = ((qw(build insert vacuum server)) x 6);
my $round = 0;
foreach my $victim (@plan)
{
	my @jobs;

	$round++;
	$node->safe_psql('postgres', 'CHECKPOINT') if $round % 3 == 0;
	push @jobs, background($inserts), background($vacuums);
	push @jobs, background($victims{$victim}[0]) if $victim eq 'build' || $victim eq 'server';
	usleep(200_000);
	if ($victim eq 'server')
	{
		kill_server();
	}
	else
	{
		kill_backend($victim, $victims{$victim}[1]);
	}
	foreach my $job (@jobs)
	{
		$job->kill_kill;
	}
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});

	# another index than the ones under test may be left from a build
	$node->safe_psql('postgres',
		'SET client_min_messages = warning; DROP INDEX IF EXISTS other_fng');
	my @faults;
	foreach my $table (@tables)
	{
		my ($name, $dim) = @$table;
		my (undef, undef, $err) = $node->psql('postgres',
			"SELECT descartes_index_check('${name}_fng', true)");
		my $counts = drain($node, $name, '<->', vector_literal($dim));

		push @faults, "$name: $err" if $err ne '';
		push @faults, "$name: $counts->{missing} missing, $counts->{extra} extra"
		  if $counts->{missing} > 0 || $counts->{extra} > 0;
	}
	is(join("\n", @faults), '', "crash $round, of $victim: sound, and no row is missing");
}

# What the crashes left behind does no harm to what follows.
$node->safe_psql('postgres', q{
	VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t;
	INSERT INTO t (embedding) SELECT clustered(16, 12) FROM generate_series(1, 200);
	CREATE TABLE t_queries AS SELECT i AS id, clustered(16, 12) AS embedding
		FROM generate_series(1, 100) i;});
my $found = recall($node, 't', '<->', 10, 100);
cmp_ok($found, '>=', 0.95, "recall\@10 in the end: $found");

$node->stop;
done_testing();
