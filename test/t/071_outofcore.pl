# CREATE INDEX with less memory than the graph wants: it says so, keeps to
# maintenance_work_mem, leaves no file behind, and the index is nearly as good.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

srand(9);

# What a process may take beyond maintenance_work_mem and what it had before, in
# kB: when it is measured is a matter of luck
my $slack = 1024;

my $node = start_node('main', q{
fsync = off
autovacuum = off
shared_buffers = 256MB
max_wal_size = 4GB
max_worker_processes = 12
max_parallel_workers = 8
log_temp_files = 0
});

create_generators($node);
load_words($node, 33000);
$node->safe_psql('postgres', q{
	SELECT setseed(0.9);
	ALTER TABLE words SET (parallel_workers = 8);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(40));
	INSERT INTO t (embedding) SELECT clustered(40, 100) FROM generate_series(1, 12000);
	-- equal rows, NULLs, and rows without a distance under cosine
	INSERT INTO t (embedding) SELECT array_fill(i % 3, ARRAY[40])::vector FROM generate_series(1, 300) i;
	INSERT INTO t (embedding) SELECT NULL FROM generate_series(1, 700);
	CREATE TABLE long (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(1500));
	INSERT INTO long (embedding) SELECT clustered(1500, 40) FROM generate_series(1, 4000);
	ALTER TABLE t SET (parallel_workers = 8);
	ALTER TABLE long SET (parallel_workers = 8);
	VACUUM ANALYZE words, t, long;});

sub proc_number
{
	my ($pid, $name) = @_;
	my $status = -r "/proc/$pid/status" ? eval { slurp_file("/proc/$pid/status") } // '' : '';

	return $status =~ /^$name:\s+(\d+)/m ? $1 : 0;
}

# The workers of a backend
sub workers
{
	my ($leader) = @_;
	my $postmaster = proc_number($leader, 'PPid');
	my $children = eval { slurp_file("/proc/$postmaster/task/$postmaster/children") } // '';

	return grep {
		(eval { slurp_file("/proc/$_/cmdline") } // '') =~ /parallel worker for PID $leader/
	} split ' ', $children;
}

# kB that a backend maps of segments of shared memory and of temporary files
sub mapped
{
	my ($pid) = @_;
	my $kb = 0;

	foreach (split /\n/, eval { slurp_file("/proc/$pid/maps") } // '')
	{
		next unless m{/dev/shm/PostgreSQL\.|/pg_dynshmem/|/pgsql_tmp};
		$kb += (hex($2) - hex($1)) / 1024 if /^([0-9a-f]+)-([0-9a-f]+)/;
	}
	return $kb;
}

# Creates index "built" in the background and watches its processes: their own
# memory, and what they share, beyond what a backend has anyway.  Checks the
# index, and that it kept to $memory (kB), unless it may take more.  Returns what
# it said.
sub build
{
	my ($what, $table, $opclass, $workers, $memory, $settings, $more) = @_;
	my ($out, $err) = ('', '');
	my ($base, $peak, $most, $pid) = (0, 0, 1);
	my $build = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
			map { ('-c', $_) } 'SELECT pg_backend_pid()',
			"SET max_parallel_maintenance_workers = $workers", split(/;/, $settings // ''),
			"SET maintenance_work_mem = '${memory}kB'", 'DROP INDEX IF EXISTS built',
			'SELECT pg_sleep(0.2)', "CREATE INDEX built ON $table USING fng (embedding $opclass)" ],
		'>', \$out, '2>', \$err);

	while ($build->pumpable)
	{
		$build->pump_nb;
		usleep(5000);
		($pid) = $out =~ /^(\d+)/ or next;
		$base ||= proc_number($pid, 'RssAnon');
		my @crew = ($pid, workers($pid));
		my $now = mapped($pid);
		$now += proc_number($_, 'RssAnon') - $base foreach @crew;
		$peak = $now if $now > $peak;
		$most = @crew if @crew > $most;
	}
	$build->finish;
	die "$what: $err" if $err =~ /ERROR/;
	$peak = int($peak);
	cmp_ok($peak, '<=', $memory + $slack * $most,
		"$what: $most processes, $peak kB of maintenance_work_mem = $memory kB") unless $more;
	is($most, $workers + 1, "$what: processes");
	check_index($node, 'built', 1);
	return $err;
}

# What a build of a table in memory takes, in kB
sub estimate
{
	my ($table, $workers) = @_;

	return int($node->safe_psql('postgres', qq{
		SET max_parallel_maintenance_workers = $workers;
		SELECT memory_bytes FROM descartes_build_estimate('$table', 'embedding')}) =~ s/.*\n//sr / 1024) + 1;
}

sub temporary_files
{
	my $dir = $node->data_dir . '/base/pgsql_tmp';

	return -d $dir ? join(' ', grep { !/^\.\.?$/ } slurp_dir($dir)) : '';
}

# Real data: recall, by the list that calibration chose and by a fixed one
sub word_recall
{
	return map { recall($node, 'words', '<=>', 10, 500, $_) } '', 'SET descartes.search_res_cnt = 25';
}

my @in_memory;
foreach my $workers (0, 1)
{
	my $all = estimate('words', $workers);
	my $said = build("words in memory, workers: $workers", 'words', 'vector_cosine_ops', $workers, $all);

	unlike($said, qr/NOTICE:  graph/, 'nothing to say');
	@in_memory = word_recall();
	note("recall in memory: @in_memory");
	$said = build("a quarter of it, workers: $workers", 'words', 'vector_cosine_ops', $workers, int($all / 4));
	like($said, qr/NOTICE:  graph of 33000 rows does not fit into maintenance_work_mem/, 'notice');
	like($said, qr/DETAIL:  The index is built out of core/, 'detail');
	my ($hint) = $said =~ /HINT:  Set maintenance_work_mem to (\d+)MB or more/;
	cmp_ok($hint * 1024, '>=', $all, "the setting that the hint names, ${hint}MB");
	cmp_ok($hint * 1024, '<=', $all + 2048, 'is not more than enough');
	my @recall = word_recall();
	note("recall out of core: @recall");
	cmp_ok($recall[$_], '>=', $in_memory[$_] - 0.005, "recall $recall[$_], in memory $in_memory[$_]")
	  foreach 0, 1;
	drain_ok($node, 'words', '<=>', "(SELECT embedding FROM words_queries WHERE id = 3)", 'out of core');
}
is(temporary_files(), '', 'no temporary file is left');

# Other metrics, and all that a table can hold; a mapped file for the arena;
# levels between; vectors in pages of their own
my $quarter = int(estimate('t', 2) / 4);
foreach my $case (
	[ 'vector_l2_ops', '<->', '' ],
	[ 'vector_cosine_ops', '<=>', 'SET descartes.debug_build_in_file = on' ],
	[ 'vector_ip_ops', '<#>', '' ],
	[ 'vector_l2_ops', '<->', 'SET descartes.debug_level_ratio = 3' ])
{
	my ($opclass, $operator, $settings) = @$case;
	my $memory = $settings =~ /level/ ? 2 * $quarter : $quarter;
	my $said = build("$opclass, $settings", 't', $opclass, 2, $memory, $settings);

	like($said, qr/DETAIL:  The index is built out of core/, 'detail');
	drain_ok($node, 't', $operator, vector_literal(40), "$opclass, $settings");
}
my $said = build('vectors of several pages', 'long', 'vector_l2_ops', 1, int(estimate('long', 1) / 4));
like($said, qr/DETAIL:  The index is built out of core/, 'detail');
drain_ok($node, 'long', '<->', vector_literal(1500), 'vectors of several pages');

# Less than that will do for a part of the rows; a graph has 1,024 in any case.
$said = build('too little', 't', 'vector_l2_ops', 0, 1024, '', 1);
like($said, qr/DETAIL:  After the first \d+ the rows are inserted one by one/, 'said that rows are inserted');
drain_ok($node, 't', '<->', vector_literal(40), 'with too little memory');

# Temporary files keep to temp_file_limit; a build that fails leaves none.
foreach my $workers (0, 2)
{
	my (undef, undef, $err) = $node->psql('postgres', qq{
		SET max_parallel_maintenance_workers = $workers;
		SET maintenance_work_mem = '${quarter}kB';
		SET temp_file_limit = '4MB';
		CREATE INDEX limited ON t USING fng (embedding)});
	like($err, qr/temporary file size exceeds temp_file_limit/, "temp_file_limit, workers: $workers");
	is(temporary_files(), '', 'no temporary file is left');
}

# Cancelled, in whichever phase
my $start = time();
build('to be cancelled', 't', 'vector_l2_ops', 2, $quarter);
my $duration = time() - $start;
my $cancelled = 0;
foreach my $i (1 .. 12)
{
	my $timeout = int(1000 * $duration * $i / 18) + 1;
	my (undef, undef, $err) = $node->psql('postgres', qq{
		SET client_min_messages = warning;
		SET max_parallel_maintenance_workers = } . $i % 3 . qq{;
		SET maintenance_work_mem = '${quarter}kB';
		SET statement_timeout = $timeout;
		CREATE INDEX cancelled ON t USING fng (embedding)});

	$cancelled++ if $err =~ /canceling statement due to statement timeout/;
	$node->safe_psql('postgres', 'DROP INDEX IF EXISTS cancelled');
}
cmp_ok($cancelled, '>=', 4, "builds cancelled: $cancelled");
is(temporary_files(), '', 'no temporary file is left');

$node->stop;
done_testing();
