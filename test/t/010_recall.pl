# The index finds what an exact scan finds: recall@10 at defaults, on the
# demo's words and on the large data sets, where this machine has them.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Test::More;

my $node = start_node('main', "shared_buffers = 512MB\nmaintenance_work_mem = 1GB\nfsync = off");

# What a search by default must reach
my $floor = 0.99;

sub test_recall
{
	my ($table, $operator, $opclass) = @_;

	$node->safe_psql('postgres', "CREATE INDEX ${table}_fng ON $table USING fng (embedding $opclass)");
	my $found = recall($node, $table, $operator, 10, 300);
	cmp_ok($found, '>=', $floor, "recall\@10 on $table by $operator: $found");
	check_index($node, "${table}_fng", 1);
}

load_words($node, 20000);
test_recall('words', '<=>', 'vector_cosine_ops');

SKIP:
{
	my $gist = dataset('gist-960-euclidean');

	skip 'no large data sets here', 2 unless $gist;

	load_dataset($node, $gist, 'gist');
	test_recall('gist', '<->', 'vector_l2_ops');

	load_dataset($node, dataset('fashion-mnist-784-euclidean'), 'fashion');
	test_recall('fashion', '<->', 'vector_l2_ops');
}

$node->stop;
done_testing();
