# What the TAP tests share: a node with the extension, data to index, recall.

package Descartes;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_node load_words dataset load_dataset recall find_scan check_index);

my $top = dirname(__FILE__) . '/../..';

# A running node with the extension in database postgres.  $conf goes to
# postgresql.conf; further arguments to init, such as allows_streaming => 1.
sub start_node
{
	my ($name, $conf, @init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(@init);
	$node->append_conf('postgresql.conf', $conf // '');
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION descartes');
	return $node;
}

# The demo's data: table "words" (id from 0, word, embedding vector(100)) with
# the first $rows words, and "words_queries" (id, embedding): metric cosine.
sub load_words
{
	my ($node, $rows) = @_;

	$node->safe_psql(
		'postgres', qq{
		CREATE TABLE words (id int GENERATED ALWAYS AS IDENTITY (START 0 MINVALUE 0)
			PRIMARY KEY, word text, embedding vector(100));
		CREATE TABLE words_queries (id int PRIMARY KEY, embedding vector(100));
		COPY words (word, embedding) FROM PROGRAM
			'zcat $top/bench/data/words.tsv.gz | head -n $rows';
		COPY words_queries FROM PROGRAM 'zcat $top/bench/data/queries.tsv.gz';
		ANALYZE words, words_queries;});
}

# The path of a large data set ("sift-128-euclidean"), or undef where this
# machine does not have it.
sub dataset
{
	my ($name) = @_;
	my $path = ($ENV{DESCARTES_DATA} || "$top/../shared/data") . "/$name.hdf5";

	return undef unless -r $path;
	return undef if system('/usr/bin/python3 -c "import h5py" 2>/dev/null') != 0;
	return $path;
}

# Loads a data set into $table and ${table}_queries; further arguments are
# those of bench/hdf5_to_pg.py.
sub load_dataset
{
	my ($node, $path, $table, @options) = @_;

	system_or_bail("$top/bench/hdf5_to_pg.py", $path, '--table', $table,
		'--dbname', $node->connstr('postgres'), @options);
}

# recall@k of the indexed order of $table by $operator ("<->") over the first
# $queries rows of ${table}_queries.  A returned row counts as right if its
# distance is at most the k-th true one, which an exact scan finds.  $settings
# is SQL that runs before the indexed queries.
sub recall
{
	my ($node, $table, $operator, $k, $queries, $settings) = @_;
	my $answers = qq{
		SELECT q.id, n.distance
		FROM (SELECT * FROM ${table}_queries ORDER BY id LIMIT $queries) q,
			LATERAL (SELECT t.embedding $operator q.embedding AS distance
				FROM $table t ORDER BY t.embedding $operator q.embedding LIMIT $k) n};

	$settings //= '';
	return $node->safe_psql(
		'postgres', qq{
		SET enable_indexscan = off;
		CREATE TEMP TABLE truth AS
			SELECT id, max(distance) AS farthest, count(*) AS n
			FROM ($answers) a GROUP BY id;
		RESET enable_indexscan;
		SET enable_seqscan = off;
		$settings;
		CREATE TEMP TABLE answers AS $answers;
		SELECT round((SELECT count(*) FROM answers JOIN truth USING (id)
				WHERE distance <= farthest) / sum(n), 4) FROM truth;});
}

# The node of a plan, as EXPLAIN (FORMAT JSON) has it, that scans this index
sub find_scan
{
	my ($plan, $index) = @_;

	return $plan if ($plan->{'Index Name'} // '') eq $index;
	foreach my $child (@{ $plan->{Plans} // [] })
	{
		my $found = find_scan($child, $index);
		return $found if $found;
	}
	return undef;
}

# Dies unless the index is sound.
sub check_index
{
	my ($node, $index, $heapallindexed) = @_;

	$node->safe_psql('postgres', sprintf("SELECT descartes_index_check('%s', %s)",
			$index, $heapallindexed ? 'true' : 'false'));
}

1;
