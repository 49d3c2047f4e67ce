# A minute of the stress driver (test/stress.sh runs it for longer).

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Stress;
use Test::More;

my $result = Stress::run(seconds => 60, crashes => 3, seed => 5);

is($result->{crashes}, 3, 'crashes');
cmp_ok($result->{operations}, '>', 50, "operations: $result->{operations}");
is($result->{findings}, 0, 'findings');
done_testing();
