--
-- Type vector: avg and sum
--

SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL, '[1,2,3]'::vector, NULL, '[3,5,7]', NULL]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL, NULL]::vector[]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[-0]'::vector]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1]'::vector, '[2]', '[2]']) v;

-- avg has room where sum has none
SELECT avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v;
SELECT sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v;
SELECT avg(v) FROM unnest(ARRAY['[1]'::vector, '[1,2]']) v;

CREATE TABLE t (id int, g int, v vector);
INSERT INTO t SELECT i, i % 10, ARRAY[i, -i, i % 3]::vector FROM generate_series(1, 3000) i;
SELECT avg(v), sum(v) FROM t;
SELECT g, avg(v), sum(v), count(*) FROM t GROUP BY g ORDER BY g LIMIT 3;
SELECT avg(DISTINCT v), sum(DISTINCT v ORDER BY v) FROM t WHERE id <= 10;
SELECT avg(v) FILTER (WHERE id > 5000), sum(v) FILTER (WHERE id = 7) FROM t;
SELECT g, avg(v) FROM t WHERE g < 2 GROUP BY ROLLUP (g) ORDER BY g;
-- the values that went in are not written to
SELECT count(*) FROM t WHERE v <> ARRAY[id, -id, id % 3]::vector;
SELECT id, sum(v) OVER w, avg(v) OVER w FROM t WHERE id <= 4
WINDOW w AS (ORDER BY id) ORDER BY id;
SELECT id, sum(v) OVER w, avg(v) OVER w FROM t WHERE id <= 4
WINDOW w AS (ORDER BY id ROWS 1 PRECEDING) ORDER BY id;
SELECT s FROM (SELECT array_agg(s ORDER BY id) AS s FROM
	(SELECT id, sum(v) OVER (ORDER BY id) AS s FROM t WHERE id <= 3) x) y;
WITH s AS MATERIALIZED (SELECT v FROM t WHERE id <= 2)
SELECT (SELECT sum(v) FROM s), (SELECT sum(v) FROM s), (SELECT array_agg(v) FROM s);

-- first values that are packed, out of line, compressed
CREATE TABLE big (id int, v vector);
INSERT INTO big SELECT i, array_fill(i, ARRAY[1000])::vector FROM generate_series(1, 5) i;
ALTER TABLE big ALTER v SET STORAGE extended;
INSERT INTO big SELECT i, array_fill(i, ARRAY[1000])::vector FROM generate_series(6, 9) i;
SELECT sum(v) = array_fill(45, ARRAY[1000])::vector AS sum, avg(v) = array_fill(5, ARRAY[1000])::vector AS avg FROM big;
SELECT sum(v ORDER BY id DESC) = array_fill(45, ARRAY[1000])::vector AS sum FROM big;
SELECT count(*) FROM big WHERE v <> array_fill(id, ARRAY[1000])::vector;
SELECT vector_dims(avg(v)), vector_dims(sum(v)) FROM (SELECT array_fill(i, ARRAY[65535])::vector AS v FROM generate_series(1, 3) i) s;

-- in parallel, also with workers that see no row
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET enable_indexscan = off;
EXPLAIN (COSTS off) SELECT avg(v), sum(v) FROM t;
SELECT avg(v), sum(v) FROM t;
SELECT avg(v), sum(v) FROM t WHERE id = 1;
SELECT avg(v), sum(v) FROM t WHERE id < 0;
SELECT avg(v) = array_fill(5, ARRAY[1000])::vector AS avg FROM big;
INSERT INTO t VALUES (3001, 1, '[1]');
DO $$
BEGIN
	PERFORM avg(v) FROM t;
	RAISE WARNING 'different dimensions went unnoticed';
EXCEPTION WHEN data_exception THEN
	NULL;
END
$$;
RESET enable_indexscan;
RESET max_parallel_workers_per_gather;
RESET min_parallel_table_scan_size;
RESET parallel_tuple_cost;
RESET parallel_setup_cost;
DROP TABLE t, big;

-- pgvector's functions on arrays, and an aggregate made of them
SELECT vector_accum('{0}', '[1,2,3]'), vector_accum('{0,0,0,0}', '[1,2,3]'), vector_accum('{1,1,2,3}', '[1,2,3]');
SELECT vector_combine('{0}', '{0}'), vector_combine('{1,2}', '{3,4}'), vector_combine('{0}', '{3,4}'), vector_combine('{1,2}', '{0}');
SELECT vector_avg('{2,2,4,6}'), vector_avg('{0}'), vector_avg('{0,1,2}');
CREATE AGGREGATE avg_by_array(vector) (
	SFUNC = vector_accum, STYPE = float8[], FINALFUNC = vector_avg, COMBINEFUNC = vector_combine, INITCOND = '{0}');
SELECT avg_by_array(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]', NULL]) v;
SELECT avg_by_array(v) FROM unnest(ARRAY[]::vector[]) v;
DROP AGGREGATE avg_by_array(vector);
SELECT vector_accum('{{0}}', '[1]');
SELECT vector_accum('{NULL}', '[1]');
SELECT vector_accum('{}', '[1]');
SELECT vector_accum('{1,1}', '[1,2,3]');
SELECT vector_accum('{1,1.7e308}', '[1]');
SELECT vector_accum('{1,Infinity}', '[1]');
SELECT vector_combine('{{1,2}}', '{3,4}');
SELECT vector_combine('{1,2}', '{{3,4}}');
SELECT vector_combine('{NULL,2}', '{3,4}');
SELECT vector_combine('{}', '{0}');
SELECT vector_combine('{1,2}', '{3,4,5}');
SELECT vector_combine('{1,1.7e308}', '{1,1.7e308}');
SELECT vector_combine('{0}', (SELECT array_agg(n) FROM generate_series(1, 65537) n));
SELECT vector_avg('{1}');
SELECT vector_avg('{1,NaN}');
SELECT vector_avg('{1,1e39}');
SELECT vector_avg('{{2,2,4,6}}');
SELECT vector_avg('{NULL,2}');
SELECT vector_avg(array_agg(n)) FROM generate_series(1, 65537) n;
