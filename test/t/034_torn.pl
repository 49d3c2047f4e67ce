# Pages that a crash has left half written are restored by the full images in
# the WAL; with checksums, so that none goes unnoticed.
#
# The server is killed some time after a checkpoint.  Pages of the indexes of
# which the WAL since then has a full image may have been under way to the disk:
# each of them loses one of its halves.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

srand(9);

my $node = start_node('main', q{
fsync = off
autovacuum = off
full_page_writes = on
checkpoint_timeout = 1h
max_wal_size = 4GB
}, extra => ['--data-checksums']);

create_generators($node);

# Slots several to a page, vectors in chains, equal rows and NULLs, an index
# without rows
my %tables = (plain => [ 16, 1500 ], long => [ 2000, 40 ], grown => [ 16, 0 ]);

sub rows
{
	my ($dim, $n) = @_;

	return qq{SELECT CASE WHEN i % 20 = 0 THEN NULL WHEN i % 7 = 0 THEN centre($dim, 1)::vector
			ELSE clustered($dim, 10) END FROM generate_series(1, $n) i};
}

foreach my $table (sort keys %tables)
{
	my ($dim, $n) = @{ $tables{$table} };

	$node->safe_psql('postgres', qq{
		SELECT setseed(0.9);
		CREATE TABLE $table (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector($dim));
		INSERT INTO $table (embedding) } . rows($dim, $n) . qq{;
		CREATE INDEX ${table}_fng ON $table USING fng (embedding);});
}

# Blocks of which the WAL since the last checkpoint has full images: table =>
# list of blocks
sub logged_blocks
{
	my ($from, %files) = @_;
	my ($out, $err) = ('', '');
	my %blocks;

	# it ends with an error, where the WAL ends
	IPC::Run::run([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $from ],
		'>', \$out, '2>', \$err);
	while ($out =~ m{rel \d+/\d+/(\d+) (?:fork main )?blk (\d+) \(?FPW}g)
	{
		$blocks{ $files{$1}[0] }{$2} = 1 if $files{$1};
	}
	return map { $_ => [ sort { $a <=> $b } keys %{ $blocks{$_} } ] } keys %blocks;
}

# Writes garbage over one half of a block.
sub tear
{
	my ($file, $block) = @_;
	my $at = $block * 8192 + (rand() < 0.5 ? 4096 : 0);

	open my $handle, '+<:raw', $file or die "$file: $!";
	sysseek $handle, $at, 0 or die "$file: $!";
	syswrite($handle, join '', map { chr int rand 256 } 1 .. 4096) == 4096 or die "$file: $!";
	close $handle;
}

foreach my $round (1 .. 3)
{
	my $redo = $node->safe_psql('postgres', q{
		CHECKPOINT;
		SELECT redo_lsn FROM pg_control_checkpoint();});

	foreach my $table (sort keys %tables)
	{
		my ($dim) = @{ $tables{$table} };
		my $n = $dim > 1000 ? 8 : 150;

		$node->safe_psql('postgres', qq{
			INSERT INTO $table (embedding) } . rows($dim, $n) . qq{;
			DELETE FROM $table WHERE id % 7 = $round;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			UPDATE $table SET embedding = clustered($dim, 10) WHERE id % 11 = $round;
			VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) $table;
			INSERT INTO $table (embedding) } . rows($dim, $n) . qq{;});
	}
	$node->safe_psql('postgres', 'REINDEX INDEX long_fng') if $round == 2;
	my %rows = map { $_ => $node->safe_psql('postgres', "SELECT count(*), sum(id) FROM $_") }
	  sort keys %tables;
	my %files;
	foreach my $table (sort keys %tables)
	{
		my ($node_number, $path) = split /\|/, $node->safe_psql('postgres',
			"SELECT pg_relation_filenode('${table}_fng'), pg_relation_filepath('${table}_fng')");

		$files{$node_number} = [ $table, $node->data_dir . "/$path" ];
	}
	my ($pid) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	my @processes = ($pid, split ' ', `ps -o pid= --ppid $pid`);
	kill 'KILL', @processes;
	usleep(20_000) while grep { kill 0, $_ } @processes;
	$node->{_pid} = undef;

	my %blocks = logged_blocks($redo, %files);
	foreach my $file (sort { $a->[0] cmp $b->[0] } values %files)
	{
		my ($table, $path) = @$file;
		my @torn = grep { ($_ + 1) * 8192 <= -s $path } @{ $blocks{$table} // [] };

		tear($path, $_) foreach @torn;
		cmp_ok(scalar(@torn), '>=', 5, "round $round: " . @torn . " pages of $table are torn");
	}
	$node->start;
	foreach my $table (sort keys %tables)
	{
		my ($dim) = @{ $tables{$table} };

		is($node->safe_psql('postgres', "SELECT count(*), sum(id) FROM $table"), $rows{$table},
			"round $round: the rows of $table");
		drain_ok($node, $table, '<->', vector_literal($dim), "round $round: $table");
		check_index($node, "${table}_fng", 1);
	}
}

my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('plain_fng')");
$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'all checksums are right');

# A page that no image covers is reported, and nothing of it used.
tear($file, 3);
command_fails([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'a torn page has a wrong checksum');
$node->start;
my (undef, undef, $err) = $node->psql('postgres', "SELECT descartes_index_check('plain_fng')");
like($err, qr/invalid page in block 3 of relation/, 'a torn page is reported');
$node->stop;
done_testing();
