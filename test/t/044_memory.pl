# Memory: thousands of rescans, many indexes and long drains do not grow a
# backend, and work_mem bounds what a scan remembers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Descartes;
use Differential;
use Test::More;

srand(9);

my $node = start_node('main', "fsync = off\nautovacuum = off");

create_generators($node);
$node->safe_psql('postgres', q{
	SELECT setseed(0.9);
	CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(32));
	INSERT INTO t (embedding) SELECT clustered(32, 20) FROM generate_series(1, 4000);
	CREATE INDEX t_fng ON t USING fng (embedding);
	CREATE TABLE long (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, embedding vector(2500));
	INSERT INTO long (embedding) SELECT clustered(2500, 3) FROM generate_series(1, 30);
	CREATE INDEX long_fng ON long USING fng (embedding);
	CREATE FUNCTION used() RETURNS bigint LANGUAGE sql VOLATILE AS
		'SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts';
	-- The peak is what matters within one statement, where contexts cannot be
	-- looked at from outside: resident memory that is not shared, in kB
	CREATE FUNCTION resident() RETURNS bigint LANGUAGE sql VOLATILE AS $$
		SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::bigint $$;});

# What a statement leaves behind, after it has run once
sub growth
{
	my ($what, $statement, $measure) = @_;
	my $out = $node->safe_psql('postgres', qq{
		SET enable_seqscan = off;
		SET enable_material = off;
		SET enable_memoize = off;
		SET enable_sort = off;
		$statement;
		SELECT 'measured', $what;
		$statement;
		SELECT 'measured', $what;});
	my ($first, $second) = $out =~ /^measured\|(\d+)/mg;

	return $second - $first;
}

my $rescans = sub {
	my ($table, $n, $limit, $dim) = @_;

	return qq{SELECT count(n.id) FROM generate_series(1, $n) i,
		LATERAL (SELECT id FROM $table ORDER BY embedding <->
			array_fill(i % 10, ARRAY[$dim])::vector LIMIT $limit) n};
};

my $query = $rescans->('t', 10000, 5, 32);
ok(plan_uses($node, $query, 'Index Scan using t_fng', 'SET enable_material = off; SET enable_memoize = off'),
	'rescans use the index');
cmp_ok(growth('used()', $query), '<=', 100_000, 'bytes that 10,000 rescans leave behind');
my $few = $rescans->('t', 100, 5, 32);
my $rss = growth('resident()', "$few; $query");
cmp_ok($rss, '<=', 4000, "10,000 rescans grow the backend by no more than some MB: $rss kB");
cmp_ok(growth('used()', $rescans->('long', 300, 5, 2500)), '<=', 100_000,
	'bytes that rescans over long vectors leave behind');
cmp_ok(growth('used()', $rescans->('t', 20, 4000, 32)), '<=', 100_000,
	'bytes that sweeps leave behind');

# Resident memory after rescans of whole tables, each with a sweep
$rss = growth('resident()', $rescans->('t', 60, 4000, 32));
cmp_ok($rss, '<=', 8000, "rescans with sweeps grow the backend by $rss kB");

# Inserts, one statement each and many in one
my $inserts = q{INSERT INTO t (embedding) SELECT clustered(32, 20) FROM generate_series(1, 700)};
cmp_ok(growth('used()', $inserts), '<=', 300_000, 'bytes that inserts leave behind');
my $single = join(';', ('INSERT INTO t (embedding) SELECT clustered(32, 20)') x 300);
cmp_ok(growth('used()', $single), '<=', 300_000, 'bytes that single inserts leave behind');

# Cursors that are left in the middle, and errors in the middle
my $cursors = join ';', map { qq{BEGIN;
	DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> } . vector_literal(32) . q{;
	FETCH 10 FROM c;
	ROLLBACK} } 1 .. 50;
cmp_ok(growth('used()', $cursors), '<=', 100_000, 'bytes that open cursors leave behind');
my $errors = q{DO $$
	BEGIN
		FOR i IN 1 .. 200 LOOP
			BEGIN
				PERFORM 1 / (id - id) FROM (SELECT id FROM t
					ORDER BY embedding <-> array_fill(i % 7, ARRAY[32])::vector LIMIT 3) s;
			EXCEPTION WHEN division_by_zero THEN
			END;
		END LOOP;
	END $$};
cmp_ok(growth('used()', $errors), '<=', 100_000, 'bytes that failed queries leave behind');

# Indexes that come and go, and are changed by others
my $indexes = q{DO $$
	BEGIN
		FOR i IN 1 .. 15 LOOP
			CREATE INDEX passing ON long USING fng (embedding);
			PERFORM id FROM long ORDER BY embedding <-> array_fill(1, ARRAY[2500])::vector LIMIT 3;
			DROP INDEX passing;
		END LOOP;
	END $$};
cmp_ok(growth('used()', $indexes), '<=', 500_000, 'bytes that indexes leave behind');
my $rebuilds = join ';', (q{REINDEX INDEX t_fng;
	SELECT count(id) FROM (SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[32])::vector LIMIT 3) s}) x 4;
cmp_ok(growth('used()', $rebuilds), '<=', 300_000, 'bytes that rebuilds leave behind');

# work_mem bounds a scan: a drain of the whole table with little of it
my $peak = $node->safe_psql('postgres', q{
	SET enable_seqscan = off;
	SET enable_sort = off;
	SET work_mem = '64kB';
	SELECT resident();
	BEGIN;
	DECLARE c CURSOR FOR SELECT id FROM t ORDER BY embedding <-> array_fill(1, ARRAY[32])::vector;
	MOVE 3000 FROM c;
	SELECT resident();});
my ($before, $within) = $peak =~ /^(\d+)$/mg;
cmp_ok($within - $before, '<=', 16000, 'a long scan with work_mem = 64kB takes ' . ($within - $before) . ' kB');

$node->stop;
done_testing();
