--
-- Tables of every shape: empty, of one row, of one dimension, of equal rows, of
-- NULLs and zeros, of the widest vectors
--
SET enable_seqscan = off;
SET enable_sort = off;

-- Does the index return each row once, NULLs last, and does the check pass?
CREATE FUNCTION fng_sound(tab regclass, operator text, query vector,
	OUT rows bigint, OUT twice bigint, OUT missing bigint, OUT nulls_last boolean)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('
		WITH i AS MATERIALIZED (SELECT row_number() OVER () AS n, id, d FROM
				(SELECT id, v %1$s $1 AS d FROM %2$s ORDER BY v %1$s $1) s),
			e AS MATERIALIZED (SELECT id FROM %2$s)
		SELECT (SELECT count(*) FROM i),
			(SELECT count(*) FROM (SELECT id FROM i EXCEPT ALL SELECT id FROM e) s),
			(SELECT count(*) FROM (SELECT id FROM e EXCEPT ALL SELECT id FROM i) s),
			NOT EXISTS (SELECT FROM i WHERE d IS NULL AND
				n < (SELECT max(n) FROM i WHERE d IS NOT NULL))', operator, tab)
		INTO rows, twice, missing, nulls_last USING query;
	PERFORM descartes_index_check(indexrelid, true) FROM pg_index WHERE indrelid = tab;
END $$;

-- empty, then one row, then two
CREATE TABLE fng_few (id int, v vector(3));
CREATE INDEX ON fng_few USING fng (v);
SELECT * FROM fng_sound('fng_few', '<->', '[1,2,3]');
INSERT INTO fng_few VALUES (1, '[1,2,3]');
SELECT * FROM fng_sound('fng_few', '<->', '[1,2,3]');
REINDEX TABLE fng_few;
SELECT * FROM fng_sound('fng_few', '<->', '[1,2,3]');
INSERT INTO fng_few VALUES (2, '[4,5,6]');
SELECT * FROM fng_sound('fng_few', '<->', '[1,2,3]');
DELETE FROM fng_few;
VACUUM fng_few;
SELECT * FROM fng_sound('fng_few', '<->', '[1,2,3]');
INSERT INTO fng_few VALUES (3, '[7,8,9]');
SELECT * FROM fng_sound('fng_few', '<->', '[1,2,3]');
DROP TABLE fng_few;

-- only NULLs; NULLs before, between and after others
CREATE TABLE fng_nulls (id int, v vector(2));
INSERT INTO fng_nulls SELECT i, NULL FROM generate_series(1, 2000) i;
CREATE INDEX ON fng_nulls USING fng (v);
SELECT * FROM fng_sound('fng_nulls', '<->', '[1,2]');
INSERT INTO fng_nulls SELECT i, CASE WHEN i % 2 = 0 THEN ARRAY[i, 1]::vector END FROM generate_series(2001, 2200) i;
SELECT * FROM fng_sound('fng_nulls', '<->', '[1,2]');
DELETE FROM fng_nulls WHERE id % 3 = 0;
VACUUM fng_nulls;
SELECT * FROM fng_sound('fng_nulls', '<->', '[1,2]');
SELECT count(*) FROM (SELECT id FROM fng_nulls ORDER BY v <-> '[1,2]' LIMIT 100) s;
DROP TABLE fng_nulls;

-- zero vectors: at distance NaN under cosine, after the others and before NULLs
CREATE TABLE fng_zeros (id int, v vector(2));
INSERT INTO fng_zeros SELECT i, CASE WHEN i % 5 = 0 THEN NULL WHEN i % 3 = 0 THEN '[0,0]'::vector
	ELSE ARRAY[i, 1]::vector END FROM generate_series(1, 300) i;
CREATE INDEX ON fng_zeros USING fng (v vector_cosine_ops);
SELECT * FROM fng_sound('fng_zeros', '<=>', '[1,2]');
SELECT * FROM fng_sound('fng_zeros', '<=>', '[0,0]');
INSERT INTO fng_zeros VALUES (301, '[0,0]'), (302, '[1e-30,0]'), (303, '[-0,0]'), (304, NULL);
SELECT * FROM fng_sound('fng_zeros', '<=>', '[1,2]');
SELECT kind, count(*), max(n) - min(n) + 1 AS between FROM
	(SELECT row_number() OVER () AS n, CASE WHEN d = 'NaN' THEN 'NaN' WHEN d >= 0 THEN 'number' ELSE 'NULL' END AS kind
		FROM (SELECT v <=> '[1,2]' AS d FROM fng_zeros ORDER BY v <=> '[1,2]') o) s
	GROUP BY kind ORDER BY min(n);
DELETE FROM fng_zeros WHERE v = '[0,0]';
VACUUM fng_zeros;
SELECT * FROM fng_sound('fng_zeros', '<=>', '[1,2]');
DROP TABLE fng_zeros;

-- 10,000 equal vectors, built and inserted, and many groups of equal ones
CREATE TABLE fng_equal (id int, v vector(3));
INSERT INTO fng_equal SELECT i, '[1,2,3]' FROM generate_series(1, 5000) i;
CREATE INDEX ON fng_equal USING fng (v);
SELECT * FROM fng_sound('fng_equal', '<->', '[1,2,3]');
INSERT INTO fng_equal SELECT i, '[1,2,3]' FROM generate_series(5001, 10000) i;
SELECT * FROM fng_sound('fng_equal', '<->', '[0,0,0]');
INSERT INTO fng_equal VALUES (10001, '[1,2,3.5]');
SELECT id FROM fng_equal ORDER BY v <-> '[1,2,4]' LIMIT 1;
DELETE FROM fng_equal WHERE id % 2 = 0;
VACUUM fng_equal;
SELECT * FROM fng_sound('fng_equal', '<->', '[0,0,0]');
INSERT INTO fng_equal SELECT i, '[1,2,3]' FROM generate_series(20001, 21000) i;
SELECT * FROM fng_sound('fng_equal', '<->', '[0,0,0]');
TRUNCATE fng_equal;
INSERT INTO fng_equal SELECT i, ARRAY[i % 200, i % 2, 1]::vector FROM generate_series(1, 2000) i;
SELECT * FROM fng_sound('fng_equal', '<->', '[50,0,0]');
REINDEX TABLE fng_equal;
SELECT * FROM fng_sound('fng_equal', '<->', '[50,0,0]');
SELECT count(*), min(v <-> '[50,0,1]'), max(v <-> '[50,0,1]') FROM (SELECT v FROM fng_equal ORDER BY v <-> '[50,0,1]' LIMIT 10) s;
DROP TABLE fng_equal;

-- one dimension
CREATE TABLE fng_line (id int, v vector(1));
INSERT INTO fng_line SELECT i, ARRAY[i * 7 % 1000]::vector FROM generate_series(1, 1000) i;
CREATE INDEX ON fng_line USING fng (v);
CREATE INDEX ON fng_line USING fng (v vector_ip_ops);
SELECT * FROM fng_sound('fng_line', '<->', '[500.2]');
SELECT v FROM fng_line ORDER BY v <-> '[500.2]' LIMIT 4;
SELECT * FROM fng_sound('fng_line', '<#>', '[1]');
SELECT v FROM fng_line ORDER BY v <#> '[1]' LIMIT 3;
SELECT v FROM fng_line ORDER BY v <#> '[-1]' LIMIT 3;
DROP TABLE fng_line;

-- values at the ends of the range
CREATE TABLE fng_extreme (id int, v vector(2));
INSERT INTO fng_extreme VALUES (1, '[3e38,3e38]'), (2, '[-3e38,3e38]'), (3, '[1e-38,0]'), (4, '[0,0]'),
	(5, '[1e-45,1e-45]'), (6, '[1e20,-1e20]'), (7, '[1,1]'), (8, '[-0,0]'), (9, NULL);
CREATE INDEX ON fng_extreme USING fng (v);
SELECT * FROM fng_sound('fng_extreme', '<->', '[1,1]');
SELECT * FROM fng_sound('fng_extreme', '<->', '[-3e38,-3e38]');
CREATE INDEX ON fng_extreme USING fng (v vector_ip_ops);
CREATE INDEX ON fng_extreme USING fng (v vector_cosine_ops);
SELECT * FROM fng_sound('fng_extreme', '<#>', '[3e38,3e38]');
SELECT * FROM fng_sound('fng_extreme', '<=>', '[1,1]');
SELECT * FROM fng_sound('fng_extreme', '<=>', '[3e38,-3e38]');
INSERT INTO fng_extreme SELECT id + 10, v FROM fng_extreme;
SELECT * FROM fng_sound('fng_extreme', '<->', '[1,1]');
SELECT * FROM fng_sound('fng_extreme', '<#>', '[3e38,3e38]');
DROP TABLE fng_extreme;

-- farther from all nodes of an upper level than an estimate can say
CREATE TABLE fng_far (id int, v vector(2));
INSERT INTO fng_far SELECT i, format('[%s,%s]', i, i * 7 % 13)::vector FROM generate_series(1, 1000) i;
CREATE INDEX ON fng_far USING fng (v);
INSERT INTO fng_far VALUES (1001, '[3e38,3e38]'), (1002, '[-3e38,3e38]');
SELECT * FROM fng_sound('fng_far', '<->', '[1,1]');
DROP TABLE fng_far;

-- vectors out of line
CREATE FUNCTION fng_wide(dim int, n int) RETURNS vector LANGUAGE sql AS
	'SELECT array_agg((i * n % 97)::float4 ORDER BY i)::vector FROM generate_series(1, dim) i';
CREATE TABLE fng_1536 (id int, v vector(1536));
INSERT INTO fng_1536 SELECT i, fng_wide(1536, i) FROM generate_series(1, 60) i;
CREATE INDEX ON fng_1536 USING fng (v);
INSERT INTO fng_1536 SELECT i, fng_wide(1536, i) FROM generate_series(61, 70) i;
SELECT * FROM fng_sound('fng_1536', '<->', fng_wide(1536, 33));
SELECT id FROM fng_1536 ORDER BY v <-> fng_wide(1536, 33) LIMIT 1;
DROP TABLE fng_1536;
CREATE TABLE fng_2000 (id int, v vector(2000));
INSERT INTO fng_2000 SELECT i, fng_wide(2000, i) FROM generate_series(1, 60) i;
CREATE INDEX ON fng_2000 USING fng (v vector_cosine_ops);
INSERT INTO fng_2000 SELECT i, fng_wide(2000, i) FROM generate_series(61, 70) i;
SELECT * FROM fng_sound('fng_2000', '<=>', fng_wide(2000, 66));
SELECT id FROM fng_2000 ORDER BY v <=> fng_wide(2000, 66) LIMIT 1;
DELETE FROM fng_2000 WHERE id % 2 = 0;
VACUUM fng_2000;
SELECT * FROM fng_sound('fng_2000', '<=>', fng_wide(2000, 66));
DROP TABLE fng_2000;
CREATE TABLE fng_65535 (id int, v vector(65535));
INSERT INTO fng_65535 SELECT i, fng_wide(65535, i) FROM generate_series(1, 6) i;
CREATE INDEX ON fng_65535 USING fng (v);
INSERT INTO fng_65535 SELECT i, fng_wide(65535, i) FROM generate_series(7, 9) i;
SELECT * FROM fng_sound('fng_65535', '<->', fng_wide(65535, 8));
SELECT id FROM fng_65535 ORDER BY v <-> fng_wide(65535, 8) LIMIT 1;
DROP TABLE fng_65535;

-- a build that its memory does not hold
CREATE TABLE fng_memory (id int, v vector(8));
INSERT INTO fng_memory SELECT i, ARRAY[i % 17, i % 13, i % 11, i % 7, i % 5, i % 3, i % 2, 1]::vector
	FROM generate_series(1, 3000) i;
SET maintenance_work_mem = '1MB';
\set VERBOSITY terse
DO $$
BEGIN
	CREATE INDEX fng_memory_idx ON fng_memory USING fng (v);
END $$;
\set VERBOSITY default
RESET maintenance_work_mem;
SELECT * FROM fng_sound('fng_memory', '<->', '[1,2,3,4,1,2,1,1]');
DROP TABLE fng_memory;

-- temporary tables
CREATE TEMP TABLE fng_temp (id int, v vector(2)) ON COMMIT DELETE ROWS;
CREATE INDEX ON fng_temp USING fng (v);
BEGIN;
INSERT INTO fng_temp SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 100) i;
SELECT * FROM fng_sound('fng_temp', '<->', '[50,0]');
COMMIT;
SELECT * FROM fng_sound('fng_temp', '<->', '[50,0]');
BEGIN;
INSERT INTO fng_temp SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 50) i;
SELECT * FROM fng_sound('fng_temp', '<->', '[50,0]');
COMMIT;
DROP TABLE fng_temp;

-- partial indexes and indexes on expressions
CREATE TABLE fng_partial (id int, kind int, v vector, a float4[]);
INSERT INTO fng_partial SELECT i, i % 3, CASE WHEN i % 3 = 0 THEN ARRAY[i, 1] ELSE ARRAY[i, 1, 2] END::vector,
	ARRAY[i, i] FROM generate_series(1, 300) i;
CREATE INDEX ON fng_partial USING fng (v);
CREATE INDEX fng_partial_idx ON fng_partial USING fng ((v::vector(2))) WHERE kind = 0;
CREATE INDEX fng_expression_idx ON fng_partial USING fng ((a::vector(2)) vector_ip_ops);
EXPLAIN (COSTS OFF) SELECT id FROM fng_partial WHERE kind = 0 ORDER BY v::vector(2) <-> '[150,0]' LIMIT 3;
SELECT id FROM fng_partial WHERE kind = 0 ORDER BY v::vector(2) <-> '[150,0]' LIMIT 1;
SELECT count(*), sum(id) FROM (SELECT id FROM fng_partial WHERE kind = 0 ORDER BY v::vector(2) <-> '[150,0]' OFFSET 0) s;
INSERT INTO fng_partial VALUES (1000, 0, '[150,0]', '{1,1}'), (1001, 1, '[1,2,3]', '{1000,1000}');
SELECT id FROM fng_partial WHERE kind = 0 ORDER BY v::vector(2) <-> '[150,0]' LIMIT 1;
SELECT id FROM fng_partial ORDER BY a::vector(2) <#> '[1,1]' LIMIT 1;
INSERT INTO fng_partial VALUES (1002, 0, '[1,2,3]', '{1,1}');
INSERT INTO fng_partial VALUES (1002, 1, '[1,2,3]', '{1,1,1}');
SELECT count(*) FROM fng_partial WHERE kind = 0;
SELECT descartes_index_check('fng_partial_idx', true), descartes_index_check('fng_expression_idx', true);
DROP TABLE fng_partial;

-- inheritance and partitions: the planner merges several indexes
CREATE TABLE fng_parts (id int, v vector(2)) PARTITION BY HASH (id);
CREATE TABLE fng_parts_0 PARTITION OF fng_parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE fng_parts_1 PARTITION OF fng_parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON fng_parts USING fng (v);
INSERT INTO fng_parts SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 400) i;
EXPLAIN (COSTS OFF) SELECT id FROM fng_parts ORDER BY v <-> '[200.1,0]' LIMIT 4;
SELECT id FROM fng_parts ORDER BY v <-> '[200.1,0]' LIMIT 4;
DROP TABLE fng_parts;
DROP FUNCTION fng_sound, fng_wide;
