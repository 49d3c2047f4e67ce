# The file of an index in memory, for tests that damage it; and where things
# are in it (fng.h).

package IndexFile;

use strict;
use warnings;

use Exporter 'import';

use constant {
	BLCKSZ => 8192,
	CONTENT => 64,				# of all pages but the meta page
	META => 24,
	SPECIAL => 8192 - 16,
	PAGE_NODE => 2,
	PAGE_VECTOR => 3,
	PAGE_TIDS => 4,
	PAGE_NULLS => 5,
	PAGE_NANS => 6,
	PAGE_DEAD => 7,
	FLAG_LIVE => 1,
	FLAG_DEAD => 2,
	NO_ID => 0xFFFFFFFF
};

# Offsets in the special space, in the header of a slot, in the meta page
our %special = (next => 0, owner => 4, kind => 8, level => 9, version => 12, page_id => 14);
our %node = (stamp => 0, tid => 8, flags => 14, link => 16, vector => 20, mul_scale => 24,
	aux => 28, degree => 34, npending => 35, mark => 36, ids => 40);
our %meta = (magic => 0, dim => 8, metric => 12, code_dim => 16, bits => 24, max_degree => 26,
	slot_size => 32, nlevels => 72, entry => 80, top_nodes => 88, level_head => 92, null_head => 124,
	nan_head => 128, dead_head => 132, refine_block => 136, free_tids => 140, end => 152);

our @EXPORT = qw(BLCKSZ CONTENT META SPECIAL PAGE_NODE PAGE_VECTOR PAGE_TIDS PAGE_NULLS PAGE_NANS
	PAGE_DEAD FLAG_LIVE FLAG_DEAD NO_ID %special %node %meta index_layout);

# Where the parts of a slot of an index are
sub index_layout
{
	my ($cluster, $index) = @_;
	my ($slot_size, $slots, $degree, $dim) = split /\|/, $cluster->safe_psql('postgres', qq{
		SELECT slot_size, slots_per_page, max_neighbor_cnt, dimensions
		FROM descartes_index_stats('$index')});

	return {slot_size => $slot_size, slots => $slots, degree => $degree,
		add => 40 + 4 * $degree, mul => 40 + 8 * $degree, vector => 40 + 10 * $degree,
		codes => (40 + 10 * $degree + 4 * $dim + 63) & ~63};
}

sub new
{
	my ($class, $path, $layout) = @_;
	open(my $fh, '<:raw', $path) or die "$path: $!";
	local $/;
	my $bytes = <$fh>;
	close $fh;
	return bless {path => $path, bytes => $bytes, layout => $layout}, $class;
}

sub save
{
	my ($self) = @_;
	open(my $fh, '>:raw', $self->{path}) or die "$self->{path}: $!";
	print $fh $self->{bytes};
	close $fh;
}

sub nblocks
{
	my ($self) = @_;
	return length($self->{bytes}) / BLCKSZ;
}

sub get
{
	my ($self, $at, $format, $size) = @_;
	return unpack($format, substr($self->{bytes}, $at, $size));
}

sub put
{
	my ($self, $at, $format, @values) = @_;
	my $new = pack($format, @values);
	substr($self->{bytes}, $at, length $new) = $new;
}

# The first byte of all pages of a kind (and level), and of the special space
# of the first of them.
sub pages
{
	my ($self, $kind, $level) = @_;
	return grep {
		$self->get($_ + SPECIAL + 8, 'C', 1) == $kind &&
			(!defined $level || $self->get($_ + SPECIAL + 9, 'C', 1) == $level)
	} map { $_ * BLCKSZ } 0 .. $self->nblocks - 1;
}

sub special
{
	my ($self, $kind, $level) = @_;
	return ($self->pages($kind, $level))[0] + SPECIAL;
}

# The first byte of all live slots of a level, and the id of a slot.
sub slots
{
	my ($self, $level) = @_;
	my $layout = $self->{layout};
	my @slots;

	foreach my $page ($self->pages(PAGE_NODE, $level // 0))
	{
		push @slots, grep { $self->get($_ + 14, 'v', 2) == FLAG_LIVE }
			map { $page + CONTENT + $_ * $layout->{slot_size} } 0 .. $layout->{slots} - 1;
	}
	return @slots;
}

sub id
{
	my ($self, $slot) = @_;
	my $page = int($slot / BLCKSZ);
	return $page * $self->{layout}{slots} +
		($slot - $page * BLCKSZ - CONTENT) / $self->{layout}{slot_size};
}

sub degree
{
	my ($self, $slot) = @_;
	return $self->get($slot + 34, 'C', 1);
}

1;
