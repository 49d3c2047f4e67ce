-- Building an index: what it would take, and what is said of it
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE TABLE build_estimate_test (id int, v vector(64), w vector, t text);
INSERT INTO build_estimate_test
	SELECT i, array_fill(i, ARRAY[64])::vector, array_fill(i, ARRAY[3])::vector, 'x'
	FROM generate_series(1, 2000) i;
ANALYZE build_estimate_test;

SELECT rows, processes, memory_bytes > 1000000 AS memory, temp_bytes, index_bytes, seconds > 0 AS time
	FROM descartes_build_estimate('build_estimate_test', 'v');
-- what the index takes indeed, but for the top level
CREATE INDEX build_estimate_idx ON build_estimate_test USING fng (v vector_l2_ops);
SELECT pg_relation_size('build_estimate_idx') / e.index_bytes::float8 BETWEEN 1 AND 1.3 AS size
	FROM descartes_build_estimate('build_estimate_test', 'v') e;
SELECT descartes_index_check('build_estimate_idx', true);
-- more edges, more of everything
SELECT b.memory_bytes > a.memory_bytes AS memory, b.index_bytes > a.index_bytes AS bytes,
		b.temp_bytes = a.temp_bytes AS temp
	FROM descartes_build_estimate('build_estimate_test', 'v') a,
		descartes_build_estimate('build_estimate_test', 'v', ARRAY['max_neighbor_cnt=128', 'build_res_cnt=400']) b;
-- processes
SET max_parallel_maintenance_workers = 3;
ALTER TABLE build_estimate_test SET (parallel_workers = 2);
SELECT processes FROM descartes_build_estimate('build_estimate_test', 'v');
ALTER TABLE build_estimate_test SET (parallel_workers = 0);
SELECT processes FROM descartes_build_estimate('build_estimate_test', 'v');

-- errors
SELECT descartes_build_estimate('build_estimate_test', 'x');
SELECT descartes_build_estimate('build_estimate_test', 'ctid');
SELECT descartes_build_estimate('build_estimate_test', 't');
SELECT descartes_build_estimate('build_estimate_test', 'w');
SELECT descartes_build_estimate('build_estimate_idx', 'v');
SELECT descartes_build_estimate('build_estimate_test', 'v', ARRAY['max_neighbor_cnt=7']);
SELECT descartes_build_estimate('build_estimate_test', 'v', ARRAY['nonsense=7']);
SELECT descartes_build_estimate('build_estimate_test', 'v', ARRAY['nonsense']);
SELECT descartes_build_estimate('build_estimate_test', 'v', ARRAY[NULL]);
SELECT descartes_build_estimate(0, 'v');
CREATE ROLE build_estimate_role;
SET ROLE build_estimate_role;
SELECT descartes_build_estimate('build_estimate_test', 'v');
RESET ROLE;
DROP ROLE build_estimate_role;
DROP TABLE build_estimate_test;

-- a build that memory does not suffice for says so, once, and before it works
SET client_min_messages = notice;
\set VERBOSITY default
SET maintenance_work_mem = '1MB';
CREATE TABLE build_memory_test (id int, v vector(16));
INSERT INTO build_memory_test
	SELECT i, (SELECT array_agg(sin(i * j)) FROM generate_series(1, 16) j)::vector
	FROM generate_series(1, 2000) i;
CREATE INDEX build_memory_idx ON build_memory_test USING fng (v vector_l2_ops);
SELECT descartes_index_check('build_memory_idx', true);
RESET maintenance_work_mem;
REINDEX INDEX build_memory_idx;
DROP TABLE build_memory_test;
