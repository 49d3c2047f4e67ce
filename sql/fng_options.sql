--
-- Options of the access method fng and its settings
--
CREATE TABLE fng_options (id int, v vector(3));
INSERT INTO fng_options
	SELECT i, ARRAY[i % 7, i % 11, i % 13]::vector FROM generate_series(1, 300) i;

-- the defaults, and the bounds of each option
CREATE INDEX fng_options_idx ON fng_options USING fng (v vector_l2_ops);
SELECT reloptions FROM pg_class WHERE oid = 'fng_options_idx'::regclass;
DROP INDEX fng_options_idx;

CREATE INDEX fng_options_idx ON fng_options USING fng (v vector_l2_ops)
	WITH (max_neighbor_cnt = 16, build_res_cnt = 16, search_res_cnt = 0,
		subquantizer_cnt = 0, quantization = none, space_partition = off, seed = 0);
SELECT reloptions FROM pg_class WHERE oid = 'fng_options_idx'::regclass;
DROP INDEX fng_options_idx;

CREATE INDEX fng_options_idx ON fng_options USING fng (v vector_l2_ops)
	WITH (max_neighbor_cnt = 255, build_res_cnt = 1000, search_res_cnt = 1000000,
		subquantizer_cnt = 65535, quantization = 'NONE', seed = 2147483647);
SELECT reloptions FROM pg_class WHERE oid = 'fng_options_idx'::regclass;
DROP INDEX fng_options_idx;

CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (max_neighbor_cnt = -1);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (max_neighbor_cnt = 1);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (max_neighbor_cnt = 15);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (max_neighbor_cnt = 256);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (build_res_cnt = 15);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (build_res_cnt = 1001);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (search_res_cnt = -1);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (search_res_cnt = 1000001);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (subquantizer_cnt = -1);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (subquantizer_cnt = 65536);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (seed = -1);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (space_partition = 2);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (fillfactor = 90);

-- what one page cannot hold
CREATE TABLE fng_options_wide (v vector(3000));
CREATE INDEX ON fng_options_wide USING fng (v) WITH (max_neighbor_cnt = 255);
DROP TABLE fng_options_wide;

-- not made use of yet
CREATE INDEX fng_options_idx ON fng_options USING fng (v vector_l2_ops)
	WITH (space_partition = on);
DROP INDEX fng_options_idx;

-- names of quantizations that are fixed, and one that is not
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (quantization = half);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (quantization = int8);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (quantization = compact);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (quantization = pq);
CREATE INDEX ON fng_options USING fng (v vector_l2_ops) WITH (quantization = '');

-- ALTER INDEX stores options for the next REINDEX
CREATE INDEX fng_options_idx ON fng_options USING fng (v vector_l2_ops)
	WITH (max_neighbor_cnt = 32, seed = 1);
ALTER INDEX fng_options_idx SET (max_neighbor_cnt = 8);
ALTER INDEX fng_options_idx SET (quantization = half);
ALTER INDEX fng_options_idx SET (max_neighbor_cnt = 80, search_res_cnt = 100);
SELECT max_neighbor_cnt = 80 AS neighbors, search_res_cnt, seed, options
	FROM descartes_index_stats('fng_options_idx');
SELECT count(*) FROM (SELECT id FROM fng_options ORDER BY v <-> '[1,2,3]') s;
REINDEX INDEX fng_options_idx;
SELECT max_neighbor_cnt = 80 AS neighbors, search_res_cnt, seed, options
	FROM descartes_index_stats('fng_options_idx');
ALTER INDEX fng_options_idx RESET (max_neighbor_cnt, search_res_cnt, seed);
SELECT max_neighbor_cnt = 80 AS neighbors, search_res_cnt, seed, options
	FROM descartes_index_stats('fng_options_idx');
REINDEX INDEX fng_options_idx;
SELECT max_neighbor_cnt = 80 AS neighbors, search_res_cnt, seed, options
	FROM descartes_index_stats('fng_options_idx');

-- which keeps neither readers nor writers out
BEGIN;
ALTER INDEX fng_options_idx SET (max_neighbor_cnt = 32, build_res_cnt = 64,
	search_res_cnt = 10, subquantizer_cnt = 16, quantization = none,
	space_partition = off, seed = 7);
SELECT mode FROM pg_locks
	WHERE relation = 'fng_options_idx'::regclass AND pid = pg_backend_pid() AND granted;
ROLLBACK;

-- settings
SHOW descartes.search_res_cnt;
SHOW descartes.search_explore_factor;
SET descartes.search_res_cnt = 1000000;
SET descartes.search_res_cnt = 1000001;
SET descartes.search_res_cnt = -1;
RESET descartes.search_res_cnt;
SET descartes.search_explore_factor = 2.5;
SET descartes.search_explore_factor = -0.1;
SET descartes.search_explore_factor = 'NaN';
RESET descartes.search_explore_factor;
SET descartes.search_result_count = 1;

SELECT descartes_index_check('fng_options_idx');
DROP TABLE fng_options;
