# Where distances tell nothing apart, because squares are beyond float32 or all
# points are at the same distance, inserts still make a graph that leads to
# every node.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Test::More;

my $node = start_node('main', "fsync = off\nautovacuum = off");

# operator class, coordinate j of row i, rows before the build and after
my @cases = (
	[ 'vector_l2_ops', '3e38 * (random() - 0.5)', 0, 400 ],
	[ 'vector_l2_ops', '3e38 * (random() - 0.5)', 600, 300 ],
	[ 'vector_ip_ops', '3e38 * (random() - 0.5)', 0, 400 ],
	[ 'vector_cosine_ops', '3e38 * (random() - 0.5)', 0, 400 ],
	[ 'vector_l2_ops', '1e-25 * random()', 0, 400 ],
	[ 'vector_ip_ops', '1e-25 * random()', 0, 400 ],
	[ 'vector_l2_ops', 'i >> j & 1', 0, 1000 ],
	[ 'vector_l2_ops', 'CASE i % 3 WHEN 0 THEN 3e38 * (random() - 0.5) ELSE random() END', 0, 600 ],
	[ 'vector_l2_ops', 'CASE i % 3 WHEN 0 THEN 1e-25 * random() ELSE random() END', 0, 600 ]);

foreach my $case (@cases)
{
	my ($opclass, $coordinate, $before, $after) = @$case;
	my $rows = qq{SELECT ARRAY(SELECT $coordinate + 0 * i FROM generate_series(1, 8) j)::vector
		FROM generate_series(1, };
	my ($nodes, $reachable) = split /\|/, $node->safe_psql('postgres', qq{
		SELECT setseed(0.3);
		DROP TABLE IF EXISTS t;
		CREATE TABLE t (e vector(8));
		INSERT INTO t $rows $before) i;
		CREATE INDEX t_fng ON t USING fng (e $opclass);
		INSERT INTO t $rows $after) i;
		SELECT nodes, reachable_nodes FROM descartes_index_stats('t_fng');}) =~ s/^.*\n//sr;

	cmp_ok($nodes - $reachable, '<=', $nodes / 100,
		"$opclass, $coordinate, $before + $after rows: $reachable of $nodes nodes are reachable");
}

$node->stop;
done_testing();
