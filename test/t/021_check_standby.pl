# descartes_index_check on a standby: sound after catching up, never a false
# alarm while replay goes on, unlogged indexes refused; and on the primary
# after a crash in the middle of inserts.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Test::More;

my $primary = start_node('primary', "fsync = off\nautovacuum = off", allows_streaming => 1);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub check_message
{
	my ($node, $index) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nSELECT descartes_index_check('$index', true)");

	return $status == 0 ? '' : $err;
}

my $insert = q{INSERT INTO items SELECT noise(20)::vector(20) FROM generate_series(1, 300)};

$primary->safe_psql('postgres', qq{
	CREATE FUNCTION noise(dim int) RETURNS float8[] VOLATILE LANGUAGE sql AS
		'SELECT array_agg(random()) FROM generate_series(1, dim)';
	CREATE TABLE items (embedding vector(20));
	$insert;
	CREATE INDEX items_fng ON items USING fng (embedding vector_l2_ops);
	CREATE UNLOGGED TABLE lost (embedding vector(20));
	CREATE INDEX lost_fng ON lost USING fng (embedding vector_l2_ops);
	$insert;
	DELETE FROM items WHERE ctid < '(5,0)';
	VACUUM items;
	INSERT INTO items VALUES (NULL);});
$primary->wait_for_catchup($standby);
is(check_message($primary, 'items_fng'), '', 'primary is sound');
is(check_message($standby, 'items_fng'), '', 'standby is sound');
like(check_message($standby, 'lost_fng'), qr/0A000: .*during recovery/,
	'unlogged index is refused on a standby');

# Check the standby again and again while the primary inserts and vacuums.
my $inserts = $primary->background_psql('postgres');
my @false_alarms;
foreach my $round (1 .. 10)
{
	my $message;

	$inserts->query_until(qr/started/, qq{
		\\echo started
		$insert;
		DELETE FROM items WHERE random() < 0.2;
		VACUUM items;
	});
	$message = check_message($standby, 'items_fng');
	push @false_alarms, $message
		unless $message eq '' || $message =~ /55000: .*while recovery goes on/;
}
is("@false_alarms", '', 'on a standby under replay the check passes or asks for a pause');
$inserts->quit;

$primary->wait_for_catchup($standby);
is(check_message($standby, 'items_fng'), '', 'standby is sound after all that');

# With replay paused the check is exact.
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$standby->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'");
$primary->safe_psql('postgres', $insert);
is(check_message($standby, 'items_fng'), '', 'standby is sound while replay is paused');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');

# Crashes in the middle of inserts leave no damage.
foreach my $round (1 .. 3)
{
	my $session = $primary->background_psql('postgres', on_error_stop => 0);

	$session->query_until(qr/started/, "\\echo started\n" . "$insert;\n" x 20);
	select(undef, undef, undef, 0.2 * $round);
	$primary->stop('immediate');
	eval { $session->quit };
	$primary->start;
	is(check_message($primary, 'items_fng'), '', "sound after crash $round");
}
$primary->safe_psql('postgres', "VACUUM items; $insert");
is(check_message($primary, 'items_fng'), '', 'sound after VACUUM and more inserts');

$primary->wait_for_catchup($standby);
is(check_message($standby, 'items_fng'), '', 'and so is the standby');

$standby->stop;
$primary->stop;
done_testing();
