# test/stress.sh runs this, with the modules of the TAP tests.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/t";
use Getopt::Long;
use Stress;
use Test::More;

my %options = (seconds => 1200, crashes => 50, seed => int(rand(1_000_000)));

GetOptions(\%options, 'seconds=i', 'crashes=i', 'seed=i') or exit 2;

# The modules of the server send standard output to a log.
my $out = Test::More->builder->output;
$options{out} = sub { print $out "$_[0]\n" };
my $result = Stress::run(%options);
print $out "seed $options{seed}\n";
print $out "$result->{crashes} crashes, $result->{operations} operations, $result->{findings} findings\n";
exit($result->{findings} ? 1 : 0);
