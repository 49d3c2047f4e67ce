# Many backends insert, delete, update and search at once, while VACUUM runs:
# afterwards the index is sound and complete.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use Test::More;

srand(3);

my $node = start_node('main', q{
fsync = off
autovacuum = off
max_connections = 50
max_wal_size = 1GB
});

create_generators($node);

# A search returns as many rows as it is asked for, each once; the function
# raises an error if not.
$node->safe_psql('postgres', q{
	CREATE FUNCTION search_ok(tab text, query vector, wanted int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		found_ids int[];
	BEGIN
		EXECUTE format('SELECT array_agg(id) FROM (SELECT id FROM %I
				ORDER BY embedding <-> $1 LIMIT $2) s', tab)
			INTO found_ids USING query, wanted;
		IF (SELECT count(*) <> count(DISTINCT i) FROM unnest(found_ids) i) THEN
			RAISE EXCEPTION 'row returned twice';
		END IF;
		IF cardinality(found_ids) < wanted THEN
			RAISE EXCEPTION 'rows are missing: % of %', cardinality(found_ids), wanted;
		END IF;
	END $$;
	ALTER FUNCTION search_ok SET enable_seqscan = off;});

# Without TRUNCATE OFF each VACUUM would wait for the others, for seconds.
my $vacuum = q{VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) %s;};
my @tables = (
	# name, dimensions, rows at first, transactions per client, clusters
	['mixed', 16, 1000, 120, 10],
	['first', 8, 0, 60, 3],
	['long', 2000, 10, 15, 3]);

foreach my $t (@tables)
{
	my ($name, $dim, $n, $transactions, $clusters) = @$t;

	$node->safe_psql('postgres', qq{
		CREATE TABLE $name (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector($dim));
		INSERT INTO $name (embedding) SELECT clustered($dim, $clusters) FROM generate_series(1, $n);
		CREATE INDEX ${name}_fng ON $name USING fng (embedding);
		CREATE TABLE kept_$name (id int);
		INSERT INTO kept_$name SELECT id FROM $name LIMIT 5;});
	$node->pgbench(
		"--no-vacuum --client=6 --jobs=2 --transactions=$transactions",
		0, [qr/actually processed/], [qr/^$/],
		"$name: clients insert, delete, update and search during VACUUM",
		{
			"$name.insert\@4" => qq{
				INSERT INTO $name (embedding) SELECT clustered($dim, $clusters) FROM generate_series(1, 3);},
			"$name.equal\@2" => qq{
				INSERT INTO $name (embedding) SELECT centre($dim, 1)::vector FROM generate_series(1, 4);},
			"$name.null\@1" => qq{
				INSERT INTO $name (embedding) VALUES (NULL);},
			"$name.abort\@1" => qq{
				BEGIN;
				INSERT INTO $name (embedding) SELECT clustered($dim, $clusters) FROM generate_series(1, 2);
				SAVEPOINT s;
				INSERT INTO $name (embedding) SELECT clustered($dim, $clusters) FROM generate_series(1, 2);
				ROLLBACK TO s;
				INSERT INTO $name (embedding) SELECT clustered($dim, $clusters);
				ROLLBACK;},
			"$name.delete\@2" => qq{
				\\set r random(1, 20)
				DELETE FROM $name WHERE id IN (SELECT id FROM $name WHERE id % 20 = :r
						AND id NOT IN (SELECT id FROM kept_$name) LIMIT 5 FOR UPDATE SKIP LOCKED);},
			"$name.update\@2" => qq{
				\\set r random(1, 20)
				UPDATE $name SET embedding = clustered($dim, $clusters) WHERE id IN
					(SELECT id FROM $name WHERE id % 20 = :r LIMIT 3 FOR UPDATE SKIP LOCKED);},
			"$name.search\@4" => qq{
				SELECT search_ok('$name', clustered($dim, $clusters), (SELECT count(*)::int FROM kept_$name));},
			"$name.vacuum\@1" => sprintf($vacuum, $name),
		});
	check_index($node, "${name}_fng", 1);
	pass("$name: sound after it");
	drain_ok($node, $name, '<->', vector_literal($dim), $name) for 1 .. 3;
}

# The first rows of an empty index, all at once
foreach my $try (1 .. 5)
{
	$node->safe_psql('postgres', q{
		CREATE TABLE race (id int GENERATED ALWAYS AS IDENTITY, embedding vector(8));
		CREATE INDEX race_fng ON race USING fng (embedding);});
	$node->pgbench('--no-vacuum --client=8 --jobs=2 --transactions=3',
		0, [qr/actually processed/], [qr/^$/], "first inserts at once, try $try",
		{ "race$try" => 'INSERT INTO race (embedding) SELECT clustered(8, 2) FROM generate_series(1, 2);' });
	check_index($node, 'race_fng', 1);
	drain_ok($node, 'race', '<->', vector_literal(8), "race, try $try");
	$node->safe_psql('postgres', 'DROP TABLE race');
}

# Equal vectors from many clients
$node->safe_psql('postgres', q{
	CREATE TABLE equal (id int GENERATED ALWAYS AS IDENTITY, embedding vector(3));
	CREATE INDEX equal_fng ON equal USING fng (embedding);});
$node->pgbench('--no-vacuum --client=6 --jobs=2 --transactions=60',
	0, [qr/actually processed/], [qr/^$/], 'equal vectors from many clients',
	{
		'equal.one@3' => q{INSERT INTO equal (embedding) SELECT '[1,2,3]' FROM generate_series(1, 50);},
		'equal.some@1' => q{INSERT INTO equal (embedding)
			SELECT ARRAY[i % 10, 0, 1]::vector FROM generate_series(1, 50) i;},
		'equal.delete@1' => q{
			\set r random(1, 30)
			DELETE FROM equal WHERE id IN (SELECT id FROM equal WHERE id % 30 = :r FOR UPDATE SKIP LOCKED);},
		'equal.vacuum@1' => sprintf($vacuum, 'equal')
	});
check_index($node, 'equal_fng', 1);
drain_ok($node, 'equal', '<->', q{'[1,2,3]'}, 'equal vectors');
drain_ok($node, 'equal', '<->', q{'[5,0,0]'}, 'equal vectors, from elsewhere');

$node->stop;
done_testing();
