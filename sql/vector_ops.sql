--
-- Type vector: distances, arithmetic and other functions
--

-- distances
SELECT '[0,0]'::vector <-> '[3,4]' AS l2, '[1,2]'::vector <#> '[3,4]' AS neg_ip,
	'[1,0]'::vector <=> '[0,2]' AS cosine, '[0,0]'::vector <+> '[3,-4]' AS l1;
SELECT l2_distance('[0,0]'::vector, '[3,4]'), inner_product('[1,2]'::vector, '[3,4]'),
	cosine_distance('[1,2]'::vector, '[2,4]'), l1_distance('[0,0]'::vector, '[3,-4]'),
	vector_l2_squared_distance('[0,0]', '[3,4]'), vector_negative_inner_product('[1,2]', '[3,4]');
SELECT cosine_distance('[1,1]'::vector, '[-1,-1]') AS opposite,
	cosine_distance('[1,1]'::vector, '[1.1,1.1]') AS parallel,
	cosine_distance('[1,1]'::vector, '[-1.1,-1.1]') AS antiparallel,
	cosine_distance('[1,2]'::vector, '[0,0]') AS zero,
	cosine_distance('[0,0]'::vector, '[0,0]') AS zeros,
	cosine_distance('[3e38]'::vector, '[3e38]') AS overflow;
SELECT vector_spherical_distance('[1,0]', '[0,1]') AS quarter, vector_spherical_distance('[1,0]', '[-1,0]') AS half,
	vector_spherical_distance('[1,0]', '[1,0]') AS none, vector_spherical_distance('[2,0]', '[2,0]') AS clamped,
	vector_spherical_distance('[2,0]', '[-2,0]') AS clamped_half;

-- a sum that overflows is infinitely far
SELECT l2_distance('[3e38]'::vector, '[-3e38]'), inner_product('[3e38]'::vector, '[3e38]'),
	l1_distance('[3e38]'::vector, '[-3e38]'), '[3e38]'::vector <#> '[3e38]';

-- every dimension counts, whatever the width of the CPU's registers
SELECT count(*) FROM generate_series(1, 130) n, generate_series(1, 130) i,
LATERAL (SELECT array_agg((k = i)::int)::vector AS e, array_fill(0, ARRAY[n])::vector AS z
		 FROM generate_series(1, n) k) s
WHERE i <= n AND ((e <-> z) <> 1 OR (e <#> e) <> -1 OR (e <+> z) <> 1 OR (e <=> e) <> 0 OR vector_norm(e) <> 1);
SELECT abs((array_agg(i)::vector <-> array_agg(0)::vector) / sqrt(sum(i::float8 * i)) - 1) < 1e-5 AS near
FROM generate_series(1, 65535) i;

-- dimensions must agree
SELECT l2_distance('[1,2]'::vector, '[3]');
SELECT inner_product('[1,2]'::vector, '[3]');
SELECT cosine_distance('[1,2]'::vector, '[3]');
SELECT l1_distance('[1,2]'::vector, '[3]');
SELECT vector_l2_squared_distance('[1,2]'::vector, '[3]');
SELECT vector_negative_inner_product('[1,2]'::vector, '[3]');
SELECT vector_spherical_distance('[1,2]'::vector, '[3]');
SELECT '[1]'::vector <-> NULL AS strict;

-- out-of-line, compressed and inline values, each one as both arguments, more
-- than once in one expression: the last fetched value is kept per argument
CREATE TABLE t (id int, v vector(1000));
INSERT INTO t SELECT i, array_fill(i, ARRAY[1000])::vector FROM generate_series(1, 6) i;
ALTER TABLE t ALTER v SET STORAGE extended;
INSERT INTO t SELECT i, array_fill(i, ARRAY[1000])::vector FROM generate_series(7, 8) i;
SELECT pg_relation_size(reltoastrelid) > 0 AS out_of_line FROM pg_class WHERE oid = 't'::regclass;
SELECT count(DISTINCT pg_column_size(v)) AS ways FROM t;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*), sum(a.v <+> b.v), sum(b.v <+> a.v), sum(abs(a.id - b.id)) * 1000 AS expected
FROM t a, t b;
SELECT count(*) FROM t a, LATERAL (SELECT b.v <+> a.v AS d, b.id FROM t b OFFSET 0) s
WHERE d <> abs(a.id - s.id) * 1000;
SELECT count(*) FROM t a, t b, t c WHERE (a.v <+> b.v) + (b.v <+> c.v) < (a.v <+> c.v);
UPDATE t SET v = v * 2 WHERE id <= 4;
SELECT id, v <+> (SELECT v FROM t WHERE id = 1) AS d FROM t ORDER BY d, id;
DROP TABLE t;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- the planner knows what a distance costs: dimensions count, and storage more
CREATE FUNCTION planned_cost(query text) RETURNS float8 AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan->0->'Plan'->>'Total Cost';
END
$$ LANGUAGE plpgsql;
CREATE TABLE t (a vector(3), b vector(400), c vector(1000), d vector(1000), e vector);
ALTER TABLE t ALTER d SET STORAGE plain;
CREATE FUNCTION distance_cost(expression text) RETURNS float8 LANGUAGE sql AS $$
	SELECT planned_cost('SELECT ' || expression || ' FROM t') - planned_cost('SELECT FROM t')
$$;
SELECT distance_cost('a <-> a') < distance_cost('b <-> b') AS dimensions,
	distance_cost('d <-> d') * 10 < distance_cost('c <-> c') AS plain,
	distance_cost('l2_distance(c, c)') = distance_cost('c <-> c') AS function,
	distance_cost('e <=> array_fill(0, ARRAY[400])::vector') < distance_cost('e <=> array_fill(0, ARRAY[1000])::vector') AS constant,
	distance_cost('e <-> e') > distance_cost('a <-> a') AS unknown,
	distance_cost('(SELECT s.c <#> t.c FROM t s LIMIT 1)') > distance_cost('d <#> d') AS outer_level,
	distance_cost('a <+> NULL') < distance_cost('a <+> a') AS folded;
PREPARE q(vector) AS SELECT c <-> $1 FROM t;
SET plan_cache_mode = force_generic_plan;
SELECT planned_cost('EXECUTE q(NULL)') > planned_cost('SELECT d <-> d FROM t') AS parameter;
RESET plan_cache_mode;
DEALLOCATE q;
DROP FUNCTION distance_cost;
DROP FUNCTION planned_cost;
DROP TABLE t;

-- arithmetic
SELECT '[1,2,3]'::vector + '[4,5,6]', '[1,2,3]'::vector - '[4,5,6]', '[1,2,3]'::vector * '[4,5,6]',
	'[1,2,3]'::vector || '[4,5]';
SELECT '[3e38]'::vector + '[3e38]';
SELECT '[-3e38]'::vector - '[3e38]';
SELECT '[1e37]'::vector * '[1e37]';
SELECT '[1e-37]'::vector * '[1e-37]';
SELECT '[0,1e-37]'::vector * '[1e-37,0]';
SELECT '[1,2]'::vector + '[3]';
SELECT '[1,2]'::vector - '[3]';
SELECT '[1,2]'::vector * '[3]';
SELECT vector_dims(array_fill(0, ARRAY[65534])::vector || '[1]');
SELECT array_fill(0, ARRAY[65535])::vector || '[1]';

-- with numbers of any type on either side
SELECT '[1,2,-3]'::vector * 2, 0.5 * '[1,2,-3]'::vector, '[1,2,-3]'::vector / 4, 2::real * '[1]'::vector, '[1]'::vector * 2::bigint;
SELECT '[1,-2,3]'::vector * 0, '[0,0]'::vector * 3, '[0,-0]'::vector / -3;
SELECT '[1e-30]'::vector * 1e60, '[3]'::vector / 1e30;
SELECT '[1e38,1]'::vector * 10;
SELECT '[1e38,1]'::vector / 0.1;
SELECT 1e-10 * '[1,1e-38]'::vector;
SELECT '[1,1e-38]'::vector / 1e10;
SELECT '[1]'::vector / 0;
SELECT '[0]'::vector / 0;
SELECT '[1]'::vector * 'NaN'::float8;
SELECT '[1]'::vector / 'NaN'::float8;
SELECT '[1]'::vector * 'Infinity'::float8;
SELECT '[1]'::vector / '-Infinity'::float8;

-- other functions
SELECT vector_dims('[1,2,3]'::vector), vector_norm('[3,4]'), vector_norm('[0,0]'), vector_norm('[3e37,4e37]')::real;
SELECT l2_normalize('[3,4]'::vector), l2_normalize('[0,0]'::vector), l2_normalize('[3e38]'::vector), l2_normalize('[0,0.1]'::vector);
SELECT l2_normalize('[1e-45]'::vector);
SELECT binary_quantize('[1,0,-1]'::vector), binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7]'::vector),
	binary_quantize('[1,-2,3,-4,5,-6,7,-8,9]'::vector);
SELECT length(binary_quantize(array_fill(1, ARRAY[65535])::vector));
SELECT subvector('[1,2,3,4,5]'::vector, 1, 3), subvector('[1,2,3,4,5]'::vector, 3, 2), subvector('[1,2,3,4,5]'::vector, -1, 3),
	subvector('[1,2,3,4,5]'::vector, 3, 9), subvector('[1,2,3,4,5]'::vector, 3, 2147483647),
	subvector('[1,2,3,4,5]'::vector, -2147483644, 2147483647);
SELECT subvector('[1,2,3,4,5]'::vector, 1, 0);
SELECT subvector('[1,2,3,4,5]'::vector, 3, -1);
SELECT subvector('[1,2,3,4,5]'::vector, -1, 2);
SELECT subvector('[1,2,3,4,5]'::vector, 6, 1);
SELECT subvector('[1,2,3,4,5]'::vector, 2147483647, 10);
SELECT subvector('[1,2,3,4,5]'::vector, -2147483648, -2147483648);

-- a value that is shorter than its dimensions say is never read over its end
CREATE CAST (bytea AS vector) WITHOUT FUNCTION;
SELECT vector_norm('\x000300000000803f'::bytea::vector);
SELECT '\x030000000000803f'::bytea::vector <-> '[1,2,3]';
DROP CAST (bytea AS vector);
