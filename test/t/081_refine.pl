# descartes_index_refine makes an index that was filled or changed row by row
# as good as a new one, while others use it; it can be stopped anywhere, and
# goes on where it was.  REINDEX CONCURRENTLY among writers.

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

srand(9);

my $rows = 2000;
my $node = start_node('primary', q{
wal_consistency_checking = 'generic'
wal_keep_size = '4GB'
max_wal_size = '4GB'
autovacuum = off
shared_buffers = '64MB'
fsync = off
}, allows_streaming => 1);

load_words($node, 2 * $rows);
create_generators($node);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

sub stats
{
	my ($index, $column) = @_;

	return $node->safe_psql('postgres', "SELECT $column FROM descartes_index_stats('$index')");
}

# recall@10 with a list that leaves something to be desired
sub short_recall
{
	my ($table) = @_;

	return recall($node, $table, '<=>', 10, 1000, 'SET descartes.search_res_cnt = 3');
}

# A psql that goes on in the background: [handle, output, errors]
sub background
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	my $job = { out => \$out, err => \$err };

	$job->{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ],
		'>', \$out, '2>', \$err);
	return $job;
}

# Start to refine, slowly, and wait until the middle of the longest phase.
# Returns the job and the backend's pid.
sub refine_to_the_middle
{
	my ($index, $delay) = @_;
	my $job = background(qq{
		SET vacuum_cost_delay = $delay;
		SET vacuum_cost_page_hit = 10;
		SELECT descartes_index_refine('$index')});
	my $pid;

	foreach my $try (1 .. 3000)
	{
		($pid) = split /\n/, $node->safe_psql('postgres', q{
			SELECT pid FROM pg_stat_progress_create_index
			WHERE phase = 'building index: refining' AND blocks_done > 0.4 * blocks_total
				AND blocks_done < 0.8 * blocks_total});
		last if $pid;
		usleep(20_000);
	}
	ok($pid, "$index is being refined");
	return ($job, $pid);
}

# The first block that a call goes through, as far as it tells: a note is taken
# every 128 blocks.
sub first_note
{
	my ($index) = @_;
	my (undef, undef, $err) = $node->psql('postgres', qq{
		SET client_min_messages = debug1;
		SELECT descartes_index_refine('$index');});
	my ($block) = $err =~ /is refined up to block (\d+)/;

	return $block;
}

# A table that fills by small transactions, and one whose rows are replaced
$node->safe_psql('postgres', qq{
	CREATE TABLE grown (id int PRIMARY KEY, embedding vector(100));
	CREATE INDEX grown_fng ON grown USING fng (embedding vector_cosine_ops);
	DO \$\$
	BEGIN
		FOR i IN 0 .. $rows / 10 - 1 LOOP
			INSERT INTO grown SELECT id, embedding FROM words
				WHERE id >= i * 10 AND id < i * 10 + 10;
			COMMIT;
		END LOOP;
	END \$\$;
	CREATE TABLE churned (id int PRIMARY KEY, embedding vector(100));
	INSERT INTO churned SELECT id, embedding FROM words WHERE id < $rows;
	CREATE INDEX churned_fng ON churned USING fng (embedding vector_cosine_ops);});
foreach my $round (0 .. 4)
{
	my ($from, $to) = map { $rows + $rows * $_ / 5 } $round, $round + 1;

	$node->safe_psql('postgres', qq{
		DELETE FROM churned WHERE id % 5 = $round AND id < $rows;
		VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) churned;
		INSERT INTO churned SELECT id, embedding FROM words WHERE id >= $from AND id < $to;});
}
$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) churned")
  for 1 .. 2;

is(stats('grown_fng', 'calibrated_search_res_cnt IS NULL'), 't', 'grown: not calibrated');
foreach my $table ('grown', 'churned')
{
	$node->safe_psql('postgres', "CREATE VIEW ${table}_queries AS SELECT * FROM words_queries");

	my $before = short_recall($table);
	my $changed = $node->safe_psql('postgres', "SELECT descartes_index_refine('${table}_fng')");
	my $after = short_recall($table);

	check_index($node, "${table}_fng", 1);
	cmp_ok($changed, '>', $rows / 4, "$table: nodes changed: $changed");
	cmp_ok(stats("${table}_fng", 'in_degree_min'), '>=', 4, "$table: floor of in-degrees");
	is(stats("${table}_fng", 'nodes - reachable_nodes'), '0', "$table: all is reachable");
	is(stats("${table}_fng", 'calibrated_search_res_cnt >= 10 AND calibrated_recall > 0.985'),
		't', "$table: calibrated");
	$node->safe_psql('postgres', "REINDEX INDEX ${table}_fng");
	my $fresh = short_recall($table);

	# 10,000 answers: three deviations are .005
	cmp_ok($after, '>=', $before - 0.003, "$table: recall $after after, $before before");
	cmp_ok($after, '>=', $fresh - 0.005, "$table: recall $after, of a new index $fresh");
}

# Stopped in the middle it goes on there, and others find the index sound.
$node->safe_psql('postgres', qq{
	INSERT INTO grown SELECT id, embedding FROM words WHERE id >= $rows;
	DELETE FROM grown WHERE id % 3 = 0;
	VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) grown;});
my ($job, $pid) = refine_to_the_middle('grown_fng', 1);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$job->{run}->finish;
like(${ $job->{err} }, qr/canceling statement due to user request/, 'cancelled');
check_index($node, 'grown_fng', 1);
drain_ok($node, 'grown', '<=>', vector_literal(100), 'after a cancelled refinement');
my $note = first_note('grown_fng');
cmp_ok($note, '>=', 256, "goes on near the middle: $note");
check_index($node, 'grown_fng', 1);
$note = first_note('grown_fng');
is($note, 128, 'from the start again after the end');

# So it does after a crash.
($job, $pid) = refine_to_the_middle('grown_fng', 1);
$node->stop('immediate');
$job->{run}->finish;
$node->start;
check_index($node, 'grown_fng', 1);
$note = first_note('grown_fng');
cmp_ok($note, '>=', 256, "goes on near the middle after a crash: $note");
check_index($node, 'grown_fng', 1);
cmp_ok(stats('grown_fng', 'in_degree_min'), '>=', 4, 'floor of in-degrees after a crash');

# Others: those who read and write go on, VACUUM and a second call wait.
($job, $pid) = refine_to_the_middle('grown_fng', 2);
$node->safe_psql('postgres', qq{
	SET lock_timeout = '10s';
	INSERT INTO grown SELECT id + 100000, embedding FROM words WHERE id < 300;
	DELETE FROM grown WHERE id % 7 = 0;
	UPDATE grown SET embedding = (SELECT embedding FROM words WHERE words.id = 17) WHERE id % 100 = 1;});
drain_ok($node, 'grown', '<=>', vector_literal(100), 'while it is refined');
my (undef, undef, $err) = $node->psql('postgres',
	q{SET lock_timeout = 200; SELECT descartes_index_refine('grown_fng')});
like($err, qr/canceling statement due to lock timeout/, 'a second call waits');
(undef, undef, $err) = $node->psql('postgres', 'VACUUM (SKIP_LOCKED) grown');
like($err, qr/skipping vacuum of "grown" --- lock not available/, 'VACUUM waits');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_progress_create_index WHERE pid = $pid"),
	'1', 'all that while it is refined');
my $vacuum = background('VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) grown');
$node->safe_psql('postgres', 'SELECT pg_sleep(0.2)');
$job->{run}->finish;
is(${ $job->{err} }, '', 'it comes to its end');
$vacuum->{run}->finish;
is(${ $vacuum->{err} }, '', 'then VACUUM goes on');
check_index($node, 'grown_fng', 1);

# Writers all the time, some of which fail, and refinements one after another
my @writers = map { background(qq{
	DO \$\$
	BEGIN
		FOR i IN 1 .. 60 LOOP
			INSERT INTO grown SELECT 1000000 * $_ + i * 10 + id, embedding FROM words WHERE id % 300 = i AND id < $rows;
			DELETE FROM grown WHERE id % 200 = i AND id < 100000;
			IF i % 5 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
		END LOOP;
	END \$\$}) } 1 .. 2;
foreach my $round (1 .. 2)
{
	$node->safe_psql('postgres', q{
		SELECT descartes_index_refine('grown_fng');
		VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) grown;});
}
foreach my $writer (@writers)
{
	$writer->{run}->finish;
	is(${ $writer->{err} }, '', 'a writer');
}
check_index($node, 'grown_fng', 1);
$node->safe_psql('postgres', q{SELECT descartes_index_refine('grown_fng')});
drain_ok($node, 'grown', '<=>', vector_literal(100), 'after all that');
my $after = recall($node, 'grown', '<=>', 10, 1000);
cmp_ok($after, '>=', 0.985, "recall\@10 by default after all that: $after");

# Vectors that no slot can hold, and a top level that changes
$node->safe_psql('postgres', q{
	SELECT setseed(0.3);
	CREATE TABLE long (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(1200));
	INSERT INTO long (embedding) SELECT clustered(1200, 9) FROM generate_series(1, 520);
	CREATE INDEX long_fng ON long USING fng (embedding);
	DELETE FROM long WHERE id < 300;
	VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) long;
	INSERT INTO long (embedding) SELECT clustered(1200, 9) FROM generate_series(1, 50);
	SELECT descartes_index_refine('long_fng');});
check_index($node, 'long_fng', 1);

# The standby has it all.
$node->wait_for_catchup($standby);
my @queries = map { vector_literal(100) } 1 .. 5;
foreach my $table ('grown', 'churned')
{
	same_answers_ok($node, $standby, $table, '<=>', 20, \@queries, "$table: the same nearest rows on the standby");
	same_answers_ok($node, $standby, $table, '<=>', 'ALL', [ $queries[0] ], "$table: the same order of all rows");
}
check_index($standby, $_, 1) foreach ('grown_fng', 'churned_fng', 'long_fng');
(undef, undef, $err) = $standby->psql('postgres', q{SELECT descartes_index_refine('grown_fng')});
like($err, qr/cannot change index "grown_fng" during recovery/, 'not on a standby');
is($standby->safe_psql('postgres', q{SELECT descartes_index_prewarm('grown_fng') =
	pg_relation_size('grown_fng') / current_setting('block_size')::int}), 't', 'to prewarm a standby');
unlike(slurp_file($standby->logfile), qr/inconsistent page/, 'replay is consistent');

# After a parallel VACUUM that was cancelled, in the same session
(undef, my $out, $err) = $node->psql('postgres', q{
	CREATE TABLE par (id int, embedding vector(16));
	INSERT INTO par SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 16) WHERE i = i)::vector
		FROM generate_series(1, 3000) i;
	CREATE INDEX par_fng ON par USING fng (embedding);
	CREATE INDEX par_fng2 ON par USING fng (embedding);
	DELETE FROM par WHERE id % 2 = 0;
	SET min_parallel_index_scan_size = 0;
	SET vacuum_cost_delay = '20ms';
	SET vacuum_cost_limit = 10;
	SET statement_timeout = 1000;
	VACUUM (INDEX_CLEANUP ON, PARALLEL 2) par;
	RESET statement_timeout;
	RESET vacuum_cost_limit;
	SELECT descartes_index_refine('par_fng') >= 0;}, on_error_stop => 0);
like($err, qr/canceling statement due to statement timeout/, 'a parallel VACUUM was cancelled');
like($out, qr/^t$/m, 'and then an index refined');

# REINDEX CONCURRENTLY among writers
@writers = map { background(qq{
	DO \$\$
	BEGIN
		FOR i IN 1 .. 150 LOOP
			INSERT INTO churned SELECT 1000000 * $_ + i * 10 + id, embedding FROM words WHERE id % 300 = i AND id < 1500;
			DELETE FROM churned WHERE id % 300 = i AND id < 100000;
			UPDATE churned SET embedding = (SELECT embedding FROM words WHERE words.id = i) WHERE id % 300 = i + 1;
			IF i % 5 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
		END LOOP;
	END \$\$}) } 1 .. 2;
foreach my $round (1 .. 3)
{
	$node->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY churned_fng');
}
foreach my $writer (@writers)
{
	$writer->{run}->finish;
	like(${ $writer->{err} }, qr/^(?:|.*deadlock detected.*)$/s, 'a writer');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname ~ '_ccnew|_ccold'}), '0',
	'nothing is left of REINDEX CONCURRENTLY');
check_index($node, 'churned_fng', 1);
drain_ok($node, 'churned', '<=>', vector_literal(100), 'after REINDEX CONCURRENTLY');
$node->safe_psql('postgres', q{SELECT descartes_index_refine('churned_fng')});
check_index($node, 'churned_fng', 1);

$standby->stop;
$node->stop;
done_testing();
