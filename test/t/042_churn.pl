# Rounds of delete, update, insert and VACUUM: recall stays, and a full drain
# returns every visible row exactly once, in any snapshot.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use Test::More;

srand(4);

my $node = start_node('main', "fsync = off\nautovacuum = off\nmax_wal_size = 1GB");

create_generators($node);

my %operators = (
	vector_l2_ops => '<->',
	vector_ip_ops => '<#>',
	vector_cosine_ops => '<=>');

foreach my $opclass (sort keys %operators)
{
	my $operator = $operators{$opclass};
	my $table = $opclass =~ s/_ops$//r;

	$node->safe_psql('postgres', qq{
		SELECT setseed(0.4);
		CREATE TABLE $table (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(24));
		INSERT INTO $table (embedding) SELECT clustered(24, 15) FROM generate_series(1, 2000);
		CREATE TABLE ${table}_queries AS SELECT i AS id, clustered(24, 15) AS embedding
			FROM generate_series(1, 100) i;
		CREATE INDEX ${table}_fng ON $table USING fng (embedding $opclass);});
	my $before = recall($node, $table, $operator, 10, 100);

	foreach my $round (1 .. 6)
	{
		$node->safe_psql('postgres', qq{
			SELECT setseed(0.$round);
			DELETE FROM $table WHERE id % 6 = $round % 6;
			UPDATE $table SET embedding = clustered(24, 15) WHERE id % 11 = $round;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			INSERT INTO $table (embedding) SELECT CASE WHEN i % 50 = 0 THEN NULL ELSE clustered(24, 15) END
				FROM generate_series(1, 300) i;});
		drain_ok($node, $table, $operator, vector_literal(24), "$table, round $round")
		  if $round % 2 == 0;
	}
	my $after = recall($node, $table, $operator, 10, 100);
	cmp_ok($after, '>=', 0.97, "$table: recall\@10 after the rounds: $after, before them: $before");
	check_index($node, "${table}_fng", 1);

	# most of the table, at once; then all of it.  The search has to cross
	# twenty dead nodes for each row.
	$node->safe_psql('postgres', qq{
		DELETE FROM $table WHERE id % 10 <> 0;
		VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;});
	$after = recall($node, $table, $operator, 10, 100);
	cmp_ok($after, '>=', 0.9, "$table: recall\@10 after most rows went: $after");
	drain_ok($node, $table, $operator, vector_literal(24), "$table after most rows went");
	$node->safe_psql('postgres', qq{
		DELETE FROM $table;
		VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;});
	drain_ok($node, $table, $operator, vector_literal(24), "$table after all rows went");
	$node->safe_psql('postgres',
		"INSERT INTO $table (embedding) SELECT clustered(24, 15) FROM generate_series(1, 500)");
	$after = recall($node, $table, $operator, 10, 100);
	cmp_ok($after, '>=', 0.97, "$table: recall\@10 of new rows among the dead: $after");
	drain_ok($node, $table, $operator, vector_literal(24), "$table with new rows");
	check_index($node, "${table}_fng", 1);
}

# A cursor stays open while others delete, VACUUM and insert into the same
# heap pages: it returns the rows of its snapshot, each once.
my $table = 'vector_l2';
$node->safe_psql('postgres',
	"INSERT INTO $table (embedding) SELECT clustered(24, 15) FROM generate_series(1, 1000)");
foreach my $fetched (1, 60, 300)
{
	my $expected = $node->safe_psql('postgres', "SELECT count(*), sum(id::bigint) FROM $table");
	my $session = $node->background_psql('postgres');

	$session->query_safe(qq{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SET enable_seqscan = off;
		SET enable_sort = off;
		CREATE TEMP TABLE got (id int);
		DECLARE c CURSOR FOR SELECT id FROM $table ORDER BY embedding <-> } . vector_literal(24));
	my @ids = split /\n/, $session->query_safe("FETCH $fetched FROM c");
	foreach my $round (1 .. 3)
	{
		$node->safe_psql('postgres', qq{
			DELETE FROM $table WHERE id % 5 = $round % 5;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			INSERT INTO $table (embedding) SELECT clustered(24, 15) FROM generate_series(1, 100);
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;});
		push @ids, split /\n/, $session->query_safe('FETCH 50 FROM c');
	}
	push @ids, split /\n/, $session->query_safe('FETCH ALL FROM c');
	$session->quit;

	my %seen;
	my $sum = 0;
	$seen{$_}++, $sum += $_ foreach @ids;
	is(scalar(@ids) . "|$sum", $expected, "cursor over VACUUM after $fetched rows: all rows");
	is(scalar(grep { $_ > 1 } values %seen), 0, "cursor over VACUUM after $fetched rows: none twice");
	drain_ok($node, $table, '<->', vector_literal(24), "after the cursor");
}
check_index($node, "${table}_fng", 1);

$node->stop;
done_testing();
