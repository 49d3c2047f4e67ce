# Differential tests: what an index answers against what an exact scan of the
# same snapshot does.  Data to index that has clusters, as real data does.

package Differential;

use strict;
use warnings;

use Exporter 'import';
use Test::More;

our @EXPORT =
  qw(create_generators drain drain_query drain_ok vector_literal plan_uses same_answers_ok);

# SQL functions that make vectors:
#
#	clustered(dim, clusters)	a random point of a random one of the clusters
#	centre(dim, cluster)		the middle of a cluster
#
# setseed() makes them repeatable.
sub create_generators
{
	my ($node, $dbname) = @_;

	$node->safe_psql(
		$dbname // 'postgres', q{
		CREATE FUNCTION centre(dim int, cluster int) RETURNS float8[]
			IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
			'SELECT array_agg(abs(hashint4(cluster * 65536 + i) % 10000) / 1000.0 ORDER BY i)
				FROM generate_series(1, dim) i';
		CREATE FUNCTION clustered(dim int, clusters int) RETURNS vector
			VOLATILE PARALLEL SAFE LANGUAGE sql AS
			'SELECT array_agg(c + random() + random() - 1)::vector
				FROM (SELECT unnest(centre(dim, (random() * clusters)::int)) AS c) s';});
}

# A literal of a vector that the caller's srand makes repeatable.
sub vector_literal
{
	my ($dim, $scale) = @_;

	return sprintf("'[%s]'", join(',', map { sprintf '%.4f', rand($scale // 10) } 1 .. $dim));
}

# Settings with which the planner takes the index where it can.
my $indexed = 'SET enable_seqscan = off; SET enable_sort = off;';

# SQL of one statement that reads all of $table by the index, in order of the
# distance to $query (an SQL expression), and by an exact scan of the same
# snapshot.  The table has columns id and embedding.  Its one row has the
# counts of drain.  Option where: a condition on the rows.
sub drain_query
{
	my ($table, $operator, $query, %options) = @_;
	my $where = $options{where} ? "WHERE $options{where}" : '';

	return qq{
		WITH i AS MATERIALIZED (SELECT row_number() OVER () AS n, id, d
				FROM (SELECT id, embedding $operator $query AS d FROM $table $where
					ORDER BY embedding $operator $query) o),
			e AS MATERIALIZED (SELECT id, embedding $operator $query AS d FROM $table $where)
		SELECT (SELECT count(*) FROM e),
			(SELECT count(*) FROM (SELECT id FROM i EXCEPT ALL SELECT id FROM e) x),
			(SELECT count(*) FROM (SELECT id FROM e EXCEPT ALL SELECT id FROM i) x),
			(SELECT count(*) FROM (SELECT d, max(d) OVER (ORDER BY n ROWS BETWEEN
				UNBOUNDED PRECEDING AND 1 PRECEDING) AS farthest FROM i) x WHERE d < farthest),
			(SELECT count(*) FROM i WHERE d IS NULL AND
				n < (SELECT max(n) FROM i WHERE d IS NOT NULL))};
}

# Runs that, if the index is what reads the table, and returns a hash of
# counts: rows (of the exact scan), extra (rows of the index that the exact
# scan has not, or not so often), missing, inversions (rows nearer than one
# before them), misplaced (rows without a distance before one that has one).
# Rows that the graph search misses come late, from the sweep, and are
# inversions, too.
sub drain
{
	my ($node, $table, $operator, $query, %options) = @_;
	my $where = $options{where} ? "WHERE $options{where}" : '';
	my $ordered = qq{SELECT id, embedding $operator $query AS d FROM $table $where
		ORDER BY embedding $operator $query};
	my %counts;

	plan_uses($node, $ordered, 'Index Scan', $options{settings})
	  or die "no index scan for: $ordered";
	my $row = $node->safe_psql('postgres', ($options{settings} // '') . "; $indexed"
		  . drain_query($table, $operator, $query, %options));
	@counts{qw(rows extra missing inversions misplaced)} = split /\|/, (split /\n/, $row)[-1];
	return \%counts;
}

# One test: a full drain returns each row once, and those without a distance
# last.
sub drain_ok
{
	my ($node, $table, $operator, $query, $name, %options) = @_;
	my $counts = drain($node, $table, $operator, $query, %options);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok( $counts->{extra} == 0
		  && $counts->{missing} == 0
		  && $counts->{misplaced} == 0,
		"$name: " . join(', ', map { "$counts->{$_} $_" }
			qw(rows extra missing inversions misplaced)));
}

# Does the plan of a query contain this node?
sub plan_uses
{
	my ($node, $query, $what, $settings) = @_;
	my $plan = $node->safe_psql('postgres',
		($settings // '') . "; $indexed EXPLAIN (COSTS OFF) $query");

	return index($plan, $what) >= 0;
}

# One test: two nodes give the same rows with the same distances in the same
# order, for each of the queries.
sub same_answers_ok
{
	my ($one, $other, $table, $operator, $limit, $queries, $name) = @_;
	my @answers;

	foreach my $node ($one, $other)
	{
		my $sql = $indexed;

		foreach my $query (@$queries)
		{
			my $select = qq{SELECT id, embedding $operator $query FROM $table
				ORDER BY embedding $operator $query LIMIT $limit};

			plan_uses($node, $select, 'Index Scan') or die "no index scan for: $select";
			$sql .= "$select;\n";
		}
		push @answers, $node->safe_psql('postgres', $sql);
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($answers[1], $answers[0], $name);
}

1;
