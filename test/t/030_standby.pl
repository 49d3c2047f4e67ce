# A primary and a streaming standby give identical answers after rounds of
# insert, delete, update and VACUUM, and replay writes what the primary wrote
# (wal_consistency_checking).

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Cluster;
use Test::More;

srand(1);

my $primary = start_node('primary', q{
wal_consistency_checking = 'generic'
wal_keep_size = '4GB'
autovacuum = off
fsync = off
}, allows_streaming => 1);

create_generators($primary);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# Tables of each shape: levels, NULLs and equal rows; inner product; zero
# vectors under cosine; vectors that no slot can hold; grown from nothing.
my %tables = (
	plain => ['<->', 'vector_l2_ops', 16, 1500],
	product => ['<#>', 'vector_ip_ops', 24, 600],
	cosine => ['<=>', 'vector_cosine_ops', 16, 600],
	long => ['<->', 'vector_l2_ops', 2000, 40],
	grown => ['<->', 'vector_l2_ops', 16, 0]);

# Rows of which some are NULL, some zero, and some equal
sub rows
{
	my ($dim, $n) = @_;

	return qq{SELECT CASE WHEN i % 37 = 0 THEN NULL
			WHEN i % 41 = 0 THEN array_fill(0::float4, ARRAY[$dim])::vector
			WHEN i % 11 = 0 THEN centre($dim, i % 3)::vector
			ELSE clustered($dim, 10) END
		FROM generate_series(1, $n) i};
}

foreach my $table (sort keys %tables)
{
	my ($operator, $opclass, $dim, $n) = @{ $tables{$table} };

	$primary->safe_psql('postgres', qq{
		SELECT setseed(0.1);
		CREATE TABLE $table (id int GENERATED ALWAYS AS IDENTITY, embedding vector($dim));
		INSERT INTO $table (embedding) } . rows($dim, $n) . qq{;
		CREATE INDEX ${table}_fng ON $table USING fng (embedding $opclass);});
}

# The standby has what the primary has, and answers so.
sub compare
{
	my ($when) = @_;

	$primary->wait_for_catchup($standby);
	foreach my $table (sort keys %tables)
	{
		my ($operator, $opclass, $dim) = @{ $tables{$table} };
		my @queries = map { vector_literal($dim) } 1 .. 5;

		same_answers_ok($primary, $standby, $table, $operator, 20, \@queries,
			"$table: the same nearest rows $when");
		same_answers_ok($primary, $standby, $table, $operator, 'ALL', [ $queries[0] ],
			"$table: the same order of all rows $when");
		drain_ok($standby, $table, $operator, $queries[1], "$table on the standby $when");
	}
}

compare('after the build');
foreach my $round (1 .. 3)
{
	foreach my $table (sort keys %tables)
	{
		my ($operator, $opclass, $dim, $n) = @{ $tables{$table} };
		my $more = $dim > 1000 ? 15 : 250;

		$primary->safe_psql('postgres', qq{
			INSERT INTO $table (embedding) } . rows($dim, $more) . qq{;
			DELETE FROM $table WHERE (id + $round) % 5 = 0;
			UPDATE $table SET embedding = clustered($dim, 10) WHERE (id + $round) % 7 = 0;
			BEGIN;
			INSERT INTO $table (embedding) } . rows($dim, 20) . qq{;
			ROLLBACK;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			INSERT INTO $table (embedding) } . rows($dim, $more) . qq{;});
	}
	compare("after round $round");
}

foreach my $table (sort keys %tables)
{
	foreach my $node ($primary, $standby)
	{
		my ($status, undef, $err) = $node->psql('postgres',
			"SELECT descartes_index_check('${table}_fng', true)");

		is($err, '', "$table: check on the " . $node->name);
	}
}

# The standby goes on by itself.
$standby->promote;
foreach my $table (sort keys %tables)
{
	my ($operator, $opclass, $dim) = @{ $tables{$table} };

	$standby->safe_psql('postgres', qq{
		INSERT INTO $table (embedding) } . rows($dim, 50) . qq{;
		DELETE FROM $table WHERE id % 3 = 0;
		VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;});
	drain_ok($standby, $table, $operator, vector_literal($dim), "$table after the promotion");
	check_index($standby, "${table}_fng", 1);
}

unlike(PostgreSQL::Test::Utils::slurp_file($standby->logfile), qr/inconsistent page/,
	'replay is consistent');

$standby->stop;
$primary->stop;
done_testing();
