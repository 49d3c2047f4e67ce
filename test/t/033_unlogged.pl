# Unlogged tables are empty after a crash, and their indexes usable.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use Test::More;

srand(6);

foreach my $wal_level ('replica', 'minimal')
{
	my $node = start_node($wal_level, qq{
		fsync = off
		autovacuum = off
		wal_level = $wal_level
		max_wal_senders = 0});

	create_generators($node);
	foreach my $dim (16, 2000)
	{
		$node->safe_psql('postgres', qq{
			CREATE UNLOGGED TABLE t$dim (id int GENERATED ALWAYS AS IDENTITY, embedding vector($dim));
			INSERT INTO t$dim (embedding) SELECT clustered($dim, 4) FROM generate_series(1, 50);
			CREATE INDEX t${dim}_fng ON t$dim USING fng (embedding);
			CREATE TABLE logged$dim (id int GENERATED ALWAYS AS IDENTITY, embedding vector($dim));
			INSERT INTO logged$dim (embedding) SELECT clustered($dim, 4) FROM generate_series(1, 50);
			INSERT INTO logged$dim (embedding) VALUES (NULL);
			CREATE INDEX logged${dim}_fng ON logged$dim USING fng (embedding);});
		drain_ok($node, "t$dim", '<->', vector_literal($dim), "$wal_level, $dim: before the crash");
	}
	# with wal_level = minimal, an index built in its table's transaction is
	# not logged but synced
	$node->safe_psql('postgres', q{
		BEGIN;
		CREATE TABLE skipped (id int GENERATED ALWAYS AS IDENTITY, embedding vector(16));
		INSERT INTO skipped (embedding) SELECT clustered(16, 4) FROM generate_series(1, 700);
		CREATE INDEX skipped_fng ON skipped USING fng (embedding);
		INSERT INTO skipped (embedding) SELECT clustered(16, 4) FROM generate_series(1, 20);
		COMMIT;});
	$node->stop('immediate');
	$node->start;
	foreach my $table ('skipped', 'logged16', 'logged2000')
	{
		my ($dim) = $table =~ /(\d+)$/;

		check_index($node, "${table}_fng", 1);
		drain_ok($node, $table, '<->', vector_literal($dim // 16), "$wal_level: $table after the crash");
	}
	foreach my $dim (16, 2000)
	{
		is($node->safe_psql('postgres', "SELECT count(*) FROM t$dim"), '0',
			"$wal_level, $dim: empty after the crash");
		drain_ok($node, "t$dim", '<->', vector_literal($dim), "$wal_level, $dim: empty index");
		check_index($node, "t${dim}_fng", 1);
		$node->safe_psql('postgres', qq{
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t$dim;
			INSERT INTO t$dim (embedding) SELECT clustered($dim, 4) FROM generate_series(1, 60);
			INSERT INTO t$dim (embedding) VALUES (NULL);
			DELETE FROM t$dim WHERE id % 5 = 0;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) t$dim;});
		drain_ok($node, "t$dim", '<->', vector_literal($dim), "$wal_level, $dim: filled anew");
		check_index($node, "t${dim}_fng", 1);
	}
	$node->stop;
	$node->start;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM t16'), '49', "$wal_level: an orderly stop keeps the rows");
	drain_ok($node, 't16', '<->', vector_literal(16), "$wal_level: after an orderly stop");
	$node->stop;
}
done_testing();
