# A cursor on a standby is open while the primary lets nodes and pages of TIDs
# go through all of their life: dead, unlinked, free, used again.  It returns
# the rows of its snapshot, each once.  Or it is cancelled: because a page that
# it may be on the way to is used again, but not with hot_standby_feedback, for
# then the primary waits with that; or for the pin on its page of the heap, which
# the heap's own VACUUM waits for.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StressSession;
use Test::More;

srand(10);

my $primary = start_node('primary', q{
wal_keep_size = '1GB'
autovacuum = off
fsync = off
}, allows_streaming => 1);

# Points, the same point many times (several pages of TIDs), and NULLs
create_generators($primary);
$primary->safe_psql('postgres', q{
	SELECT setseed(0.3);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, embedding vector(16));
	INSERT INTO t (embedding) SELECT clustered(16, 8) FROM generate_series(1, 400);
	INSERT INTO t (embedding) SELECT centre(16, 3)::vector FROM generate_series(1, 3000);
	INSERT INTO t (embedding) SELECT NULL FROM generate_series(1, 3000);
	CREATE INDEX t_fng ON t USING fng (embedding);});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', q{
wal_receiver_status_interval = 1s
max_standby_streaming_delay = 200ms
});
$standby->start;

my $vacuum = 'SELECT pg_current_xact_id(); VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t;';

# What dies before the cursor opens, and what takes its place after.  Ids go
# in runs, so that pages of TIDs become empty.
my $delete = q{
	DELETE FROM t USING (SELECT max(id) AS last FROM t) m
		WHERE id <= last - 5000 OR (last - id) / 700 % 2 = 1;};
my $insert = q{
	INSERT INTO t (embedding) SELECT clustered(16, 8) FROM generate_series(1, 300);
	INSERT INTO t (embedding) SELECT centre(16, 3)::vector FROM generate_series(1, 2200);
	INSERT INTO t (embedding) SELECT NULL FROM generate_series(1, 2200);};

my %cancelled = (off => 0, on => 0);
foreach my $feedback ('off', 'on')
{
	$standby->append_conf('postgresql.conf', "hot_standby_feedback = $feedback");
	$standby->reload;
	# how many vacuums come before the cursor, and how many rows it reads
	# before the rest
	foreach my $before (0 .. 2)
	{
		foreach my $some (1, 600, 1600)
		{
			my @vacuums = map { $vacuum } 1 .. 4;
			my $name = "feedback $feedback, $before vacuums before, $some rows read";

			$primary->safe_psql('postgres', $_) foreach $delete, splice(@vacuums, 0, $before);
			$primary->wait_for_catchup($standby);
			my $wanted = $standby->safe_psql('postgres', 'SELECT count(*), sum(id::bigint) FROM t');
			my $session = StressSession->new(connstr => $standby->connstr('postgres'),
				log => $standby->basedir . '/session.log');

			$session->connect;
			$session->must('BEGIN ISOLATION LEVEL REPEATABLE READ');
			$session->must('DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> '
				  . vector_literal(16));
			my @ids = $session->must("FETCH $some FROM c");
			if ($feedback eq 'on')
			{
				# the primary knows of the snapshot
				$primary->poll_query_until('postgres',
					'SELECT backend_xmin IS NOT NULL FROM pg_stat_replication');
			}
			$primary->safe_psql('postgres', $_) foreach @vacuums, $insert;
			$primary->wait_for_catchup($standby);
			# a session that is cancelled between two commands is ended
			my $ok = eval {
				push @ids, $session->must('FETCH ALL FROM c', '40001');
				$session->must('COMMIT');
				1;
			};
			if (!$ok)
			{
				my $why = $session->{answer} . $session->{buffer};

				like($why, qr/conflict with recovery/, "$name: cancelled");
				$cancelled{$feedback}++ unless $why =~ /holding shared buffer pin/;
			}
			else
			{
				my %times;
				my $sum = 0;

				$times{$_}++, $sum += $_ foreach @ids;
				is(@ids . "|$sum", $wanted, "$name: the rows of the snapshot");
				is(scalar(grep { $_ > 1 } values %times), 0, "$name: none twice");
			}
			drain_ok($standby, 't', '<->', vector_literal(16), "$name: afterwards");
		}
	}
}
cmp_ok($cancelled{off}, '>', 0, "$cancelled{off} cursors were in the way of what was used again");
is($cancelled{on}, 0, 'none is with feedback');
check_index($primary, 't_fng', 1);
check_index($standby, 't_fng', 1);

$standby->stop;
$primary->stop;
done_testing();
