--
-- Type vector: order, equality, btree and hash
--

SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, vector_cmp(a, b) AS cmp
FROM (VALUES
	('[1,2,3]'::vector, '[1,2,3]'::vector),
	('[1,2,3]', '[1,2]'),
	('[1,2]', '[1,2,3]'),
	('[1,2]', '[2]'),
	('[2]', '[1,2]'),
	('[-1]', '[1]'),
	('[0]', '[-0]'),
	('[1e-45]', '[0]')
) t (a, b);

CREATE TABLE t (id int, v vector);
INSERT INTO t SELECT i, ARRAY[i % 10, i % 7]::vector FROM generate_series(1, 1000) i;
INSERT INTO t VALUES (1001, '[0]'), (1002, '[0,-0]'), (1003, NULL);
INSERT INTO t SELECT 2000 + i, array_fill(i % 3, ARRAY[500])::vector FROM generate_series(1, 30) i;
CREATE INDEX t_btree ON t USING btree (v);
CREATE INDEX t_hash ON t USING hash (v);

-- the same rows by both indexes and by none
SET enable_bitmapscan = off;
SET enable_seqscan = off;
EXPLAIN (COSTS off) SELECT v FROM t WHERE v >= '[9,5]' ORDER BY v;
SELECT v, count(*) FROM t WHERE v >= '[9,5]' GROUP BY v ORDER BY v;
SELECT id FROM t WHERE v < '[0,0]' OR v IS NULL ORDER BY id;
SELECT count(*) FROM t WHERE v = '[-0,0]';
DROP INDEX t_btree;
EXPLAIN (COSTS off) SELECT count(*) FROM t WHERE v = '[-0,0]';
SELECT count(*) FROM t WHERE v = '[-0,0]';
SELECT count(*) FROM t WHERE v = array_fill(2, ARRAY[500])::vector;
SELECT count(*) FROM t WHERE v = '[-0]';
SET enable_seqscan = on;
SET enable_indexscan = off;
SELECT count(*) FROM t WHERE v = '[-0,0]';
RESET enable_indexscan;
RESET enable_bitmapscan;

-- grouping, joining, sorting, in every way
SET enable_sort = off;
EXPLAIN (COSTS off) SELECT v, count(*) FROM t GROUP BY v;
SELECT count(*), sum(n) FROM (SELECT v, count(*) AS n FROM t GROUP BY v) s;
RESET enable_sort;
SET enable_hashagg = off;
SELECT count(*), sum(n) FROM (SELECT v, count(*) AS n FROM t GROUP BY v) s;
RESET enable_hashagg;
SELECT count(DISTINCT v) FROM t;
SET enable_nestloop = off;
SET enable_mergejoin = off;
EXPLAIN (COSTS off) SELECT count(*) FROM t a JOIN t b ON a.v = b.v;
SELECT count(*) FROM t a JOIN t b ON a.v = b.v;
SET enable_mergejoin = on;
SET enable_hashjoin = off;
EXPLAIN (COSTS off) SELECT count(*) FROM t a JOIN t b ON a.v = b.v;
SELECT count(*) FROM t a JOIN t b ON a.v = b.v;
RESET enable_hashjoin;
RESET enable_nestloop;
SELECT count(*) FROM t WHERE v IN ('[1,1]', '[2,2]', '[3,4,5]');
SELECT v FROM t WHERE id <= 1003 ORDER BY v DESC NULLS LAST LIMIT 2;
CREATE UNIQUE INDEX ON t (v) WHERE id > 1000 AND id < 2000;
INSERT INTO t VALUES (1004, '[-0]');
DROP TABLE t;

-- hashes: equal values alike, others not; both widths agree as partitioning and hash joins need
SELECT vector_hash('[0,1]') = vector_hash('[-0,1]') AS zero,
	vector_hash('[1,2]') <> vector_hash('[2,1]') AS order_counts,
	vector_hash('[1]') <> vector_hash('[1,0]') AS dimensions_count,
	vector_hash_extended('[1,2]', 0) <> vector_hash_extended('[1,2]', 1) AS seed_counts,
	vector_hash_extended('[0]', 1) = vector_hash_extended('[-0]', 1) AS zero_extended,
	vector_hash('[1,2,3]')::bit(32) = vector_hash_extended('[1,2,3]', 0)::bit(32) AS low_half;
SELECT count(DISTINCT vector_hash(ARRAY[i, j]::vector)) > 9990 AS spread
FROM generate_series(1, 100) i, generate_series(1, 100) j;
CREATE TABLE p (v vector) PARTITION BY HASH (v);
CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO p SELECT ARRAY[i]::vector FROM generate_series(1, 100) i;
SELECT count(*), count(DISTINCT tableoid) FROM p;
INSERT INTO p VALUES ('[0]'), ('[-0]');
SELECT count(DISTINCT tableoid) FROM p WHERE v = '[0]';
DROP TABLE p;
