# A damaged index never crashes the server, never makes it loop, and says so
# with the right error: random damage to what leads from page to page, then
# queries, inserts, VACUUM and the maintenance functions.
#
# DESCARTES_SEED and DESCARTES_DAMAGES choose other damages, and how many.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use IndexFile;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{DESCARTES_SEED} // 7;
my $damages = $ENV{DESCARTES_DAMAGES} // 48;
srand($seed);

my $cluster = start_node('main', q{
fsync = off
autovacuum = off
max_wal_size = 4GB
shared_buffers = 64MB
restart_after_crash = on
});

# Rows of each shape: several levels, NULLs; equal rows, zero rows, both with
# chains of pages, of which some are free; vectors that no slot can hold.
my %shapes = (
	plain => {
		dim => 8, opclass => 'vector_l2_ops', operator => '<->',
		rows => q{SELECT CASE WHEN i % 40 = 0 THEN NULL ELSE noise(8) END
			FROM generate_series(1, 600) i}
	},
	product => {
		dim => 24, opclass => 'vector_ip_ops', operator => '<#>',
		rows => q{SELECT noise(24) FROM generate_series(1, 200) i}
	},
	chains => {
		dim => 4, opclass => 'vector_cosine_ops', operator => '<=>',
		rows => q{SELECT CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '{0,0,0,0}'
				WHEN 2 THEN '{1,2,3,4}' ELSE '{1,2,3,5}' END::float8[]
			FROM generate_series(1, 16500) i
			UNION ALL SELECT noise(4) FROM generate_series(1, 150) i},
		gone => 'id BETWEEN 4000 AND 14000'
	},
	long => {
		dim => 2500, opclass => 'vector_l2_ops', operator => '<->',
		rows => q{SELECT noise(2500) FROM generate_series(1, 25) i}
	});

$cluster->safe_psql('postgres', q{
	CREATE FUNCTION noise(dim int) RETURNS float8[] VOLATILE LANGUAGE sql AS
		'SELECT array_agg(random()) FROM generate_series(1, dim)'});

# One table and index for each damage.
my $vacuum = 'VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF)';
my @targets;
foreach my $i (0 .. $damages - 1)
{
	my $shape = (sort keys %shapes)[ $i % keys %shapes ];
	my $s = $shapes{$shape};
	my $table = "${shape}_$i";

	push @targets, [ $table, $shape ];
	$cluster->safe_psql('postgres', qq{
		SET descartes.debug_level_ratio = 4;
		SELECT setseed(0.5);
		CREATE TABLE $table (id int GENERATED ALWAYS AS IDENTITY, embedding vector($s->{dim}));
		INSERT INTO $table (embedding) SELECT * FROM ($s->{rows}) r;
		CREATE INDEX ${table}_fng ON $table USING fng (embedding $s->{opclass});
		DELETE FROM $table WHERE } . ($s->{gone} // 'id % 5 = 0') . qq{;
		$vacuum $table;
		INSERT INTO $table (embedding) SELECT noise($s->{dim}) FROM generate_series(1, 20);});
}
my %layout = map { $_->[1] => index_layout($cluster, "$_->[0]_fng") } @targets[ 0 .. keys(%shapes) - 1 ];
my %path = map { $_->[0] => $cluster->data_dir . '/' .
	$cluster->safe_psql('postgres', "SELECT pg_relation_filepath('$_->[0]_fng')") } @targets;

# A value for a place of 1, 2 or 4 bytes on a page: such as lead astray
sub bad_value
{
	my ($file, $block, $size) = @_;
	my $n = $file->nblocks;
	my @values = ($block, int(rand($n)), int(rand($n)), int(rand($n)), $n, $n + 1, $n + 100_000, 0, 1,
		int(rand($n * $file->{layout}{slots})), int(rand($n * $file->{layout}{slots})),
		NO_ID, NO_ID - 1, int(rand(2**32)));

	@values = (0 .. 8, 16, 255, int(rand(256))) if $size == 1;
	@values = (0 .. 8, 16, 0xFFFF, int(rand(65536))) if $size == 2;
	return $values[ rand @values ];
}

# Do one damage; returns what was done.
sub damage
{
	my ($file) = @_;
	my $layout = $file->{layout};
	my $block = rand() < 0.2 ? 0 : int(rand($file->nblocks));
	my $page = $block * BLCKSZ;
	my $kind = $file->get($page + SPECIAL + $special{kind}, 'C', 1);
	my @places;

	# [offset, bytes, how often]
	push @places, map { [ SPECIAL + $_->[0], $_->[1], $_->[2] ] }
		([ 0, 4, 4 ], [ 4, 4, 1 ], [ 8, 1, 1 ], [ 9, 1, 1 ], [ 12, 2, 1 ], [ 14, 2, 1 ]);
	if ($block == 0)
	{
		push @places, map { [ META + 4 * $_, 4, $_ >= 18 ? 2 : 1 ] } 0 .. $meta{end} / 4 - 1;
	}
	elsif ($kind == PAGE_NODE)
	{
		my $slot = CONTENT + int(rand($layout->{slots})) * $layout->{slot_size};
		my $pending = $layout->{slot_size} - 4 * int(rand(64)) - 4;

		push @places, map { [ $slot + $_->[0], $_->[1], $_->[2] ] }
			([ 0, 4, 1 ], [ 4, 4, 1 ], [ 14, 2, 2 ], [ 16, 4, 3 ], [ 20, 4, 3 ], [ 24, 4, 1 ], [ 28, 4, 1 ],
			[ 32, 2, 1 ], [ 34, 1, 2 ], [ 35, 1, 2 ], [ 36, 4, 2 ], [ $pending, 4, 3 ],
			map { [ 40 + 4 * int(rand($layout->{degree})), 4, 1 ] } 1 .. 6);
		push @places, [ $slot + 40 + 4 * int(rand($layout->{degree} * 5 / 2)), 4, 1 ];
	}
	else
	{
		# counts, and what free pages and lists have at their beginning; a wrong
		# heap TID is for the table to find out
		push @places, [ CONTENT, 4, 4 ];
		push @places, map { [ CONTENT + 4 * $_, 4, 1 ] } 2 .. 5
			if $kind == PAGE_DEAD || $kind != PAGE_VECTOR && $file->get($page + CONTENT, 'V', 4) == 0;
	}
	my @choice = map { my $p = $_; ($p) x $p->[2] } @places;
	my ($at, $size) = @{ $choice[ rand @choice ] };
	my $value = bad_value($file, $block, $size);

	$file->put($page + $at, { 1 => 'C', 2 => 'v', 4 => 'V' }->{$size}, $value);
	return "block $block of kind $kind, offset $at: $value";
}

$cluster->safe_psql('postgres', 'CHECKPOINT');
$cluster->stop;
my %done;
foreach my $target (@targets)
{
	my ($table, $shape) = @$target;
	my $file = IndexFile->new($path{$table}, $layout{$shape});

	push @{ $done{$table} }, damage($file) foreach 1 .. 1 + int(rand(3));
	$file->save;
}
$cluster->start;

# What is done to each index.  A statement that fails is followed by the next.
sub statements
{
	my ($table, $shape) = @_;
	my ($dim, $operator) = @{ $shapes{$shape} }{qw(dim operator)};
	my $order = "ORDER BY embedding $operator";
	my @queries = (
		"SELECT count(*) FROM (SELECT id FROM $table $order noise($dim)::vector LIMIT 10) x",
		"SELECT count(*) FROM (SELECT id FROM $table $order noise($dim)::vector) x",
		"SELECT count(*) FROM (SELECT id FROM $table $order NULL) x",
		"SELECT count(*) FROM (SELECT id FROM $table $order array_fill(0, ARRAY[$dim])::vector) x");
	my $many = $shape eq 'chains' ? 1400 : 5;
	my @inserts = (
		("INSERT INTO $table (embedding) VALUES (noise($dim)::vector)") x 10,
		"INSERT INTO $table (embedding) SELECT NULL FROM generate_series(1, $many)",
		"INSERT INTO $table (embedding) SELECT array_fill(0, ARRAY[$dim])::vector FROM generate_series(1, $many)",
		"INSERT INTO $table (embedding) SELECT embedding FROM $table WHERE embedding IS NOT NULL LIMIT 20");

	push @inserts, "INSERT INTO $table (embedding) SELECT '[1,2,3,4]' FROM generate_series(1, 100)"
		if $shape eq 'chains';
	return (@queries, @inserts, @queries, "DELETE FROM $table WHERE id % 3 = 0", "$vacuum $table", @inserts,
		"DELETE FROM $table WHERE id % 3 = 1", "$vacuum $table", "$vacuum $table", @queries[ 0, 1 ], @inserts,
		"SELECT descartes_index_check('${table}_fng', true)",
		"SELECT descartes_index_refine('${table}_fng')", "$vacuum $table", @queries[ 0, 1 ],
		"SELECT count(*) FROM descartes_index_stats('${table}_fng')",
		"SELECT descartes_index_recall('${table}_fng', 20, 5)");
}

my %errors;
foreach my $target (@targets)
{
	my ($table, $shape) = @$target;
	my $sql = "\\set VERBOSITY verbose\n" . join(";\n", 'SET statement_timeout = 120000',
		'SET enable_seqscan = off', 'SET enable_sort = off', statements($table, $shape)) . ';';
	my ($status, $out, $err) = $cluster->psql('postgres', $sql, on_error_stop => 0);
	my %seen;

	$seen{$1}++ while $err =~ /(?:ERROR|FATAL|PANIC):  (\S+):/g;
	$errors{$_} += $seen{$_} foreach keys %seen;
	my @wrong = grep { !/^(XX00[12]|0A000)$/ } keys %seen;
	push @wrong, 'connection lost' if $status == 2;
	ok(!@wrong, "$table: " . (join(', ', map { "$_ $seen{$_}" } sort keys %seen) || 'no error'));
	if (@wrong)
	{
		diag(join("\n", "seed $seed", @{ $done{$table} }));
		diag(join("\n", (grep { !/XX00[12]:|0A000:|^(HINT|LOCATION)/ } split /\n/, $err)[ 0 .. 8 ]));
	}
}
cmp_ok($errors{XX002} // 0, '>', $damages, "damage is reported, $errors{XX002} times");
is($cluster->safe_psql('postgres', 'SELECT 1'), '1', 'the server is there');
unlike(slurp_file($cluster->logfile), qr/was terminated by signal|PANIC|TRAP/, 'no backend crashed');

# REINDEX mends whatever it was.
foreach my $target (@targets)
{
	my ($table, $shape) = @$target;

	$cluster->safe_psql('postgres', "REINDEX INDEX ${table}_fng; SELECT descartes_index_check('${table}_fng', true)");
}
pass('REINDEX mends all');

$cluster->stop;
done_testing();
