# descartes_index_check finds damage, whatever byte it is in, and never
# crashes.  Many indexes over the same few tables are damaged in the files of
# a stopped server, each in one way, and then checked.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use IndexFile;
use Test::More;

my $cluster = start_node('main', "fsync = off\nautovacuum = off\nmax_wal_size = 4GB");

# A table for each shape of index: levels and NULLs; shared nodes with chains
# of TIDs; rows at distance NaN; vectors too long for a slot.
my %tables = (
	plain => {
		type => 'vector(16)', opclass => 'vector_l2_ops',
		rows => q{SELECT CASE WHEN i % 50 = 0 THEN NULL
			ELSE noise(16, 1) END
			FROM generate_series(1, 800) i}
	},
	equal => {
		type => 'vector(8)', opclass => 'vector_l2_ops',
		rows => q{SELECT ARRAY[i % 3, i % 3, 1, 2, 3, 4, 5, 6]::float8[]
			FROM generate_series(1, 200) i
			UNION ALL SELECT noise(8, 1) FROM generate_series(1, 200) i}
	},
	cosine => {
		type => 'vector(16)', opclass => 'vector_cosine_ops',
		rows => q{SELECT CASE WHEN i % 10 = 0 THEN array_fill(0::float8, ARRAY[16])
			ELSE noise(16, 1) END
			FROM generate_series(1, 300) i}
	},
	product => {
		type => 'vector(24)', opclass => 'vector_ip_ops',
		rows => q{SELECT noise(24, i)
			FROM generate_series(1, 400) i}
	},
	long => {
		type => 'vector(3000)', opclass => 'vector_l2_ops',
		rows => q{SELECT noise(3000, 1)
			FROM generate_series(1, 60) i}
	});

$cluster->safe_psql('postgres', q{
	CREATE FUNCTION noise(dim int, scale float8) RETURNS float8[] VOLATILE LANGUAGE sql AS
		'SELECT array_agg(random() * scale) FROM generate_series(1, dim)'});
foreach my $table (sort keys %tables)
{
	my $t = $tables{$table};

	$cluster->safe_psql('postgres', qq{
		SELECT setseed(0.5);
		CREATE TABLE $table (embedding $t->{type});
		INSERT INTO $table SELECT e::$t->{type} FROM ($t->{rows}) r (e);});
}

# Returns what the check says of an index: '' or an error with its code.
sub check_message
{
	my ($index, $heapallindexed, $setting) = @_;
	my ($status, $out, $err) = $cluster->psql('postgres',
		sprintf("\\set VERBOSITY verbose\n%s;SELECT descartes_index_check('%s', %s)",
			$setting // '', $index, $heapallindexed ? 'true' : 'false'));

	return $status == 0 && $err !~ /WARNING/ ? '' : $err;
}

# Sound indexes pass: built, and grown by inserts.
my %layout;
foreach my $table (sort keys %tables)
{
	my $t = $tables{$table};

	$cluster->safe_psql('postgres',
		"CREATE INDEX ${table}_built ON $table USING fng (embedding $t->{opclass})");
	is(check_message("${table}_built", 1), '', "$table: index as built");
	is(check_message("${table}_built", 1, 'SET descartes.simd = scalar'), '',
		"$table: index as built, in the eyes of another CPU");

	$cluster->safe_psql('postgres', qq{
		CREATE TABLE ${table}_2 (embedding $t->{type});
		CREATE INDEX ${table}_grown ON ${table}_2 USING fng (embedding $t->{opclass});
		INSERT INTO ${table}_2 SELECT * FROM $table;});
	is(check_message("${table}_grown", 1), '', "$table: index grown by inserts");

	$layout{$table} = index_layout($cluster, "${table}_built");
}

# The damages: table, name, code, and what the message must say.
my @damages = (
	[plain => 'page id', sub { $_[0]->put($_[0]->special(PAGE_NODE) + $special{page_id}, 'v', 0xFF80) },
		qr/page id is FF80|not a page of an fng index/],
	[plain => 'unknown page kind', sub { $_[0]->put($_[0]->special(PAGE_NODE) + $special{kind}, 'C', 9) },
		qr/kind/],
	[plain => 'other page kind', sub { $_[0]->put($_[0]->special(PAGE_NODE) + $special{kind}, 'C', PAGE_TIDS) },
		qr/block/],
	[plain => 'page level', sub { $_[0]->put($_[0]->special(PAGE_NODE) + $special{level}, 'C', 7) },
		qr/level/],
	[plain => 'page version', sub { $_[0]->put($_[0]->special(PAGE_NODE) + $special{version}, 'v', 77) },
		qr/format version of the page is 77/],
	[plain => 'next page', sub { $_[0]->put($_[0]->special(PAGE_NODE, 0) + $special{next}, 'V', 1) },
		qr/chained to block 1/],
	[plain => 'page header', sub { $_[0]->put(($_[0]->pages(PAGE_NODE))[0] + 12, 'v', 64) },
		qr/page contents end at 64/],
	[plain => 'page of zeros', sub { $_[0]->put(($_[0]->pages(PAGE_NODE, 0))[1], 'x8192') },
		qr/which is no node/],
	[plain => 'file cut short', sub { $_[0]{bytes} = substr($_[0]{bytes}, 0, BLCKSZ * int(length($_[0]{bytes}) / BLCKSZ / 2)) },
		qr/block/],
	[plain => 'empty file', sub { $_[0]{bytes} = '' },
		qr/it is missing/],

	[plain => 'magic', sub { $_[0]->put(META + $meta{magic}, 'V', 7) },
		qr/no fng meta data/],
	[plain => 'dimensions', sub { $_[0]->put(META + $meta{dim}, 'V', 15) },
		qr/of another index|impossible/],
	[plain => 'no dimensions', sub { $_[0]->put(META + $meta{dim}, 'V', 0) },
		qr/impossible/],
	[plain => 'metric', sub { $_[0]->put(META + $meta{metric}, 'v', 3) },
		qr/of another index|impossible/],
	[plain => 'bits', sub { $_[0]->put(META + $meta{bits}, 'v', 3) },
		qr/impossible/],
	[plain => 'slot size', sub { $_[0]->put(META + $meta{slot_size}, 'V', 64) },
		qr/impossible/],
	[plain => 'levels', sub { $_[0]->put(META + $meta{nlevels}, 'V', 7) },
		qr/of 7 levels, level/],
	[plain => 'head of a level', sub { $_[0]->put(META + $meta{level_head} + 4, 'V', 100000) },
		qr/100000/],
	[plain => 'level without its chain', sub { $_[0]->put($_[0]->special(PAGE_NODE, 1) + $special{next}, 'V', NO_ID);
			$_[0]->put(META + $meta{level_head} + 4, 'V', $_[0]->special(PAGE_NODE, 1) / BLCKSZ | 0) },
		qr/not in the chain of its level/],
	[plain => 'chain of NULL rows lost', sub { $_[0]->put(META + $meta{null_head}, 'V', NO_ID) },
		qr/heap TIDs are in no chain/],
	[plain => 'chain of NULL rows in a circle', sub { my $at = $_[0]->special(PAGE_NULLS);
			$_[0]->put($at + $special{next}, 'V', $at / BLCKSZ | 0) },
		qr/belongs to a chain already/],
	[plain => 'nodes of the top level', sub { $_[0]->put(META + $meta{top_nodes}, 'V', 77) },
		qr/nodes instead of 77/],
	[equal => 'entry', sub { $_[0]->put(META + $meta{entry}, 'V', 0) },
		qr/entry 0 is no node/],

	[plain => 'unknown flags', sub { $_[0]->put(($_[0]->slots)[5] + $node{flags}, 'v', 0x4001) },
		qr/flags are 4001/],
	[plain => 'live and dead', sub { $_[0]->put(($_[0]->slots)[5] + $node{flags}, 'v', FLAG_LIVE | FLAG_DEAD) },
		qr/flags are 0003/],
	[plain => 'dead without a stamp', sub { $_[0]->put(($_[0]->slots)[5] + $node{flags}, 'v', FLAG_DEAD) },
		qr/dead node has stamp 0/],
	[plain => 'dead with a row', sub { my $slot = ($_[0]->slots)[5];
			$_[0]->put($slot + $node{flags}, 'v', FLAG_DEAD);
			$_[0]->put($slot + $node{stamp}, 'V', 99) },
		qr/dead node has a heap TID/],
	[plain => 'live with a stamp', sub { $_[0]->put(($_[0]->slots)[5] + $node{stamp}, 'V', 99) },
		qr/live node has stamp 99/],
	[plain => 'free, not empty', sub { $_[0]->put(($_[0]->slots)[5] + $node{flags}, 'v', 0) },
		qr/free slot is not empty/],
	[plain => 'degree', sub { $_[0]->put(($_[0]->slots)[5] + $node{degree}, 'C', 255) },
		qr/255 edges of at most/],
	[plain => 'pending edges', sub { $_[0]->put(($_[0]->slots)[5] + $node{npending}, 'C', 200) },
		qr/200 pending edges of at most/],
	[plain => 'scale', sub { $_[0]->put(($_[0]->slots)[5] + $node{mul_scale}, 'f<', 9**9**9) },
		qr/scale of the factors/],

	[plain => 'edge out of range', sub { $_[0]->put(($_[0]->slots)[5] + $node{ids}, 'V', 0xFFFFFF00) },
		qr/no node of level 0/],
	[plain => 'edge to no node', sub { $_[0]->put(($_[0]->slots)[5] + $node{ids}, 'V', 0) },
		qr/leads to 0, which is no node of level 0/],
	[plain => 'edge to another level', sub { $_[0]->put(($_[0]->slots)[5] + $node{ids}, 'V', $_[0]->id(($_[0]->slots(1))[0])) },
		qr/no node of level 0/],
	[plain => 'edge to itself', sub { my $slot = ($_[0]->slots)[5];
			$_[0]->put($slot + $node{ids}, 'V', $_[0]->id($slot)) },
		qr/leads back to its node/],
	[plain => 'edge twice', sub { my $slot = ($_[0]->slots)[5];
			$_[0]->put($slot + $node{ids} + 4, 'V', $_[0]->get($slot + $node{ids}, 'V', 4)) },
		qr/two edges lead to node/],
	[plain => 'edge to another node', sub { my ($slot, $other) = ($_[0]->slots)[5, 300];
			my @ids = $_[0]->get($slot + $node{ids}, 'V*', 4 * $_[0]->degree($slot));
			($other) = grep { my $id = $_[0]->id($_); !grep { $_ == $id } @ids, $_[0]->id($slot) } ($_[0]->slots)[300 .. 400];
			$_[0]->put($slot + $node{ids}, 'V', $_[0]->id($other)) },
		qr/edge to node \d+ /],
	[plain => 'mark of a node', sub { $_[0]->put(($_[0]->slots)[5] + $node{mark}, 'V', 3) },
		qr/mark is 00000003|no node/],
	[plain => 'unused lane', sub { $_[0]->put(($_[0]->slots(1))[5] + $node{ids} + 4, 'V', 3) },
		qr/unused lane/],
	[plain => 'factor NaN', sub { $_[0]->put(($_[0]->slots)[5] + $_[0]{layout}{add}, 'V', 0x7FC00000) },
		qr/factors of edge 0/],
	[plain => 'additive factor', sub { $_[0]->put(($_[0]->slots)[5] + $_[0]{layout}{add}, 'f<', 123) },
		qr/additive factor of the edge to node \d+ is 123/],
	[plain => 'multiplicative factor', sub { $_[0]->put(($_[0]->slots)[5] + $_[0]{layout}{mul}, 'v', 0x2000) },
		qr/edge to node \d+ /],
	[plain => 'code', sub { my $at = ($_[0]->slots)[5] + $_[0]{layout}{codes};
			$_[0]->put($at, 'C16', map { 0xFF ^ $_ } $_[0]->get($at, 'C16', 16)) },
		qr/code of the edge to node/],
	[product => 'code, inner product', sub { my $at = ($_[0]->slots)[5] + $_[0]{layout}{codes};
			$_[0]->put($at, 'C16', map { 0xFF ^ $_ } $_[0]->get($at, 'C16', 16)) },
		qr/code of the edge to node/],
	[product => 'added coordinate', sub { $_[0]->put(($_[0]->slots)[5] + $node{aux}, 'f<', 1) },
		qr/norm or added coordinate is 1 /],
	[cosine => 'norm', sub { $_[0]->put(($_[0]->slots)[5] + $node{aux}, 'f<', 55) },
		qr/norm or added coordinate is 55 /],
	[plain => 'vector', sub { $_[0]->put(($_[0]->slots)[5] + $_[0]{layout}{vector}, 'f<', 3) },
		qr/edge to node \d+ |another vector/],
	[plain => 'vector NaN', sub { $_[0]->put(($_[0]->slots)[5] + $_[0]{layout}{vector}, 'V', 0x7FC00000) },
		qr/coordinate 0 of the vector/],
	[plain => 'edges of the top level', sub { $_[0]->put(($_[0]->slots(1))[0] + $node{degree}, 'C', 1) },
		qr/top level has edges/],
	[plain => 'way down', sub { $_[0]->put(($_[0]->slots(1))[0] + $node{link}, 'V', $_[0]->id(($_[0]->slots)[7])) },
		qr/another vector/],
	[plain => 'way down to no node', sub { $_[0]->put(($_[0]->slots(1))[0] + $node{link}, 'V', 0) },
		qr/way down leads to 0/],
	[plain => 'unreachable', sub { my ($file) = @_; my $degree = $file->{layout}{degree};
			foreach my $slot ($file->slots)
			{
				$file->put($slot + $node{degree}, 'CC', 0, 0);
				$file->put($slot + $node{ids}, 'V*', (NO_ID) x $degree, (0x7F800000) x $degree);
				$file->put($slot + $file->{layout}{mul}, 'v*', (0) x $degree);
			} },
		qr/no path of edges/],

	[plain => 'heap TID twice', sub { my ($a, $b) = ($_[0]->slots)[5, 6];
			$_[0]->put($a + $node{tid}, 'a6', $_[0]->get($b + $node{tid}, 'a6', 6)) },
		qr/heap TID \(\d+,\d+\) is there, and again in block/],
	[plain => 'heap TID behind the table', sub { $_[0]->put(($_[0]->slots)[5] + $node{tid}, 'vvv', 0, 60000, 1) },
		qr/behind the table/],
	[plain => 'number of TIDs', sub { $_[0]->put(($_[0]->pages(PAGE_NULLS))[0] + CONTENT, 'V', 100000) },
		qr/100000 heap TIDs of at most/],
	[plain => 'NULL row twice', sub { my $at = ($_[0]->pages(PAGE_NULLS))[0] + CONTENT + 8;
			$_[0]->put($at, 'a6', $_[0]->get($at + 6, 'a6', 6)) },
		qr/is there, and again/],
	[cosine => 'NaN row invalid', sub { $_[0]->put(($_[0]->pages(PAGE_NANS))[0] + CONTENT + 8 + 4, 'v', 0) },
		qr/heap TID 0 is invalid/],
	[equal => 'owner of TIDs', sub { $_[0]->put($_[0]->special(PAGE_TIDS) + $special{owner}, 'V', 1) },
		qr/are owned by 1/],
	[equal => 'TIDs without an owner', sub { my $block = $_[0]->special(PAGE_TIDS) / BLCKSZ | 0;
			my ($slot) = grep { $_[0]->get($_ + $node{link}, 'V', 4) == $block } $_[0]->slots;
			$_[0]->put($slot + $node{link}, 'V', NO_ID) },
		qr/heap TIDs are in no chain/],
	[equal => 'TIDs of two nodes', sub { my $block = $_[0]->special(PAGE_TIDS) / BLCKSZ | 0;
			my ($slot) = grep { $_[0]->get($_ + $node{link}, 'V', 4) != $block } $_[0]->slots;
			$_[0]->put($slot + $node{link}, 'V', $block) },
		qr/are owned by|belongs to a chain already/],

	[long => 'owner of a vector', sub { $_[0]->put($_[0]->special(PAGE_VECTOR) + $special{owner}, 'V', 1) },
		qr/is owned by 1/],
	[long => 'length of a vector', sub { $_[0]->put(($_[0]->pages(PAGE_VECTOR))[0] + CONTENT, 'V', 4) },
		qr/piece of a vector/],
	[long => 'vector without an end', sub { my $at = $_[0]->special(PAGE_VECTOR);
			$_[0]->put($at + $special{next}, 'V', $at / BLCKSZ | 0) },
		qr/chain/],
	[long => 'vector missing', sub { $_[0]->put(($_[0]->slots)[5] + $node{vector}, 'V', NO_ID) },
		qr/vector is missing|ends early/],
	[long => 'vector of another node', sub { my ($a, $b) = ($_[0]->slots)[5, 6];
			$_[0]->put($a + $node{vector}, 'V', $_[0]->get($b + $node{vector}, 'V', 4)) },
		qr/is owned by|belongs to a chain already/],
	[long => 'vector in a node page', sub { $_[0]->put(($_[0]->slots)[5] + $node{vector}, 'V', ($_[0]->slots)[5] / BLCKSZ | 0) },
		qr/kind/]);

# What only a look at the table can tell
my @lost_rows = (
	[plain => 'row of a node lost', sub { $_[0]->put(($_[0]->slots)[5] + $node{tid}, 'vvv', 0xFFFF, 0xFFFF, 0) }],
	[equal => 'row of a shared node lost', sub { my $at = ($_[0]->pages(PAGE_TIDS))[0] + CONTENT;
			$_[0]->put($at, 'V', $_[0]->get($at, 'V', 4) - 1) }],
	[plain => 'NULL row lost', sub { my $at = ($_[0]->pages(PAGE_NULLS))[0] + CONTENT;
			$_[0]->put($at, 'V', $_[0]->get($at, 'V', 4) - 1) }],
	[plain => 'rows changed places', sub { my ($a, $b) = map { $_ + $node{tid} } ($_[0]->slots)[5, 6];
			my ($x, $y) = map { $_[0]->get($_, 'a6', 6) } $a, $b;
			$_[0]->put($a, 'a6', $y);
			$_[0]->put($b, 'a6', $x) }]);

# Random bytes, for crashes: each index gets some changes at random places.
my $fuzzed = 30;
srand(42);

my @indexes;
sub make_index
{
	my ($table, $damage, @rest) = @_;
	my $index = 'damaged_' . @indexes;

	push @indexes, [$index, $table, $damage, @rest];
}
make_index($_->[0], $_->[2], @$_) foreach @damages, @lost_rows;
foreach my $i (1 .. $fuzzed)
{
	make_index((sort keys %tables)[$i % keys %tables], sub {
		my ($file) = @_;
		$file->put(int(rand(length $file->{bytes})), 'C', int(rand(256))) foreach 1 .. 1 + $i % 7;
	}, undef, "random bytes $i");
}

$cluster->safe_psql('postgres', join('', map {
	"CREATE INDEX $_->[0] ON $_->[1] USING fng (embedding $tables{$_->[1]}{opclass});\n"
} @indexes) . 'CHECKPOINT');
my %paths = map { $_->[0] => $cluster->data_dir . '/' . $cluster->safe_psql('postgres',
	"SELECT pg_relation_filepath('$_->[0]')") } @indexes;

$cluster->stop;
foreach my $i (@indexes)
{
	my ($index, $table, $damage) = @$i;
	my $file = IndexFile->new($paths{$index}, $layout{$table});

	$damage->($file);
	$file->save;
}
$cluster->start;

foreach my $i (@indexes)
{
	my ($index, $table, undef, undef, $name, undef, $expected) = @$i;

	if (defined $expected)
	{
		my $message = check_message($index, 0);

		# costs time, but no rows
		if ($name eq 'unreachable')
		{
			like($message, qr/WARNING: .*$expected/, "$table, $name: a warning");
			next;
		}
		like($message, qr/XX002: /, "$table, $name: reported as corruption");
		like($message, $expected, "$table, $name: what and where");
	}
	elsif ($name !~ /^random/)
	{
		is(check_message($index, 0), '', "$table, $name: not seen from the index alone");
		like(check_message($index, 1), qr/XX002: .*is missing in index/, "$table, $name: reported");
	}
	else
	{
		like(check_message($index, 1), qr/^$|XX00[12]: |0A000: .*format version/,
			"$table, $name: reported or harmless");
	}
}
is($cluster->safe_psql('postgres', 'SELECT 1'), '1', 'the server did not crash');
unlike(PostgreSQL::Test::Utils::slurp_file($cluster->logfile),
	qr/was terminated by signal|server process .* exited with exit code/, 'no backend crashed');

$cluster->stop;
done_testing();
