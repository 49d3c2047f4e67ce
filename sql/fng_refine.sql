--
-- descartes_index_refine, descartes_index_prewarm
--
SET client_min_messages = warning;

CREATE FUNCTION point(dim int, seed int) RETURNS vector IMMUTABLE LANGUAGE sql AS
	'SELECT array_agg((hashint4(seed * 4096 + i) % 1000) / 100.0 ORDER BY i)::vector
		FROM generate_series(1, dim) i';

-- an index that was made on an empty table and filled by inserts: the first
-- call calibrates it, and gives it a top level of the usual size
CREATE TABLE refined (id int, embedding vector(8));
CREATE INDEX refined_fng ON refined USING fng (embedding vector_l2_ops) WITH (max_neighbor_cnt = 16);
SELECT descartes_index_refine('refined_fng') AS nothing_to_do;
INSERT INTO refined SELECT i, CASE WHEN i % 20 = 0 THEN NULL
		WHEN i % 7 = 0 THEN point(8, i % 3) ELSE point(8, i) END
	FROM generate_series(1, 1500) i;
SELECT calibrated_search_res_cnt, calibrated_recall FROM descartes_index_stats('refined_fng');
SELECT descartes_index_refine('refined_fng') > 0 AS changed;
SELECT calibrated_search_res_cnt >= 10 AS calibrated, calibrated_recall > 0.98 AS recall,
	in_degree_min >= 4 AS in_degree, reachable_nodes = nodes AS reachable, levels, rows
FROM descartes_index_stats('refined_fng');
SELECT descartes_index_check('refined_fng', true);
SELECT descartes_index_recall('refined_fng', 200) > 0.98 AS recall;

-- a second call finds little to do
SELECT descartes_index_refine('refined_fng') < 500 AS few;
SELECT descartes_index_check('refined_fng', true);

-- the answers are those of an exact scan
CREATE FUNCTION answers(cond text) RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL enable_indexscan = %s', cond);
	EXECUTE format('SET LOCAL enable_seqscan = %s', CASE cond WHEN 'on' THEN 'off' ELSE 'on' END);
	RETURN QUERY EXECUTE 'SELECT id FROM refined WHERE id % 7 <> 0
		ORDER BY embedding <-> point(8, 77777) LIMIT 20';
END $$;
SELECT array_agg(a) = (SELECT array_agg(b) FROM answers('off') b) AS same FROM answers('on') a;

-- after a change of most rows
DELETE FROM refined WHERE id % 3 <> 0;
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) refined;
INSERT INTO refined SELECT i, point(8, i) FROM generate_series(1501, 1900) i;
SELECT descartes_index_refine('refined_fng') > 0 AS changed;
SELECT descartes_index_check('refined_fng', true);
SELECT in_degree_min >= 4 AS in_degree, reachable_nodes = nodes AS reachable, rows
FROM descartes_index_stats('refined_fng');
SELECT descartes_index_recall('refined_fng', 200) > 0.98 AS recall;

-- after all rows went, and after new ones came
DELETE FROM refined;
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) refined;
SELECT descartes_index_refine('refined_fng') < 10 AS nothing_to_do;
SELECT descartes_index_check('refined_fng', true);
INSERT INTO refined SELECT i, point(8, i) FROM generate_series(1, 600) i;
SELECT descartes_index_refine('refined_fng') > 0 AS changed;
SELECT descartes_index_check('refined_fng', true);
SELECT count(*) FROM (SELECT id FROM refined ORDER BY embedding <-> point(8, 5) OFFSET 0) o;

-- of few rows: there are no neighbours to find of one
CREATE TABLE few (embedding vector(3));
CREATE INDEX few_fng ON few USING fng (embedding vector_l2_ops);
INSERT INTO few VALUES ('[1,2,3]');
SELECT descartes_index_refine('few_fng');
SELECT calibrated_search_res_cnt FROM descartes_index_stats('few_fng');
INSERT INTO few SELECT point(3, i) FROM generate_series(1, 30) i;
SELECT descartes_index_refine('few_fng') IS NOT NULL AS done;
SELECT descartes_index_check('few_fng', true);

-- other metrics, with rows at distance NaN; levels between; unlogged, temporary
SET descartes.debug_level_ratio = 3;
CREATE TABLE shapes (id int, embedding vector(8));
INSERT INTO shapes SELECT i, CASE WHEN i % 50 = 0 THEN '[0,0,0,0,0,0,0,0]' ELSE point(8, i) END
	FROM generate_series(1, 2200) i;
CREATE INDEX shapes_levels ON shapes USING fng (embedding vector_l2_ops) WITH (max_neighbor_cnt = 16);
RESET descartes.debug_level_ratio;
CREATE INDEX shapes_ip ON shapes USING fng (embedding vector_ip_ops) WITH (max_neighbor_cnt = 16);
CREATE INDEX shapes_cosine ON shapes USING fng (embedding vector_cosine_ops) WITH (max_neighbor_cnt = 16);
DELETE FROM shapes WHERE id % 4 = 0;
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) shapes;
INSERT INTO shapes SELECT i, point(8, i) FROM generate_series(2201, 2300) i;
SELECT i AS index, levels FROM unnest('{shapes_levels,shapes_ip,shapes_cosine}'::regclass[]) i,
	descartes_index_stats(i);
SELECT i AS index, descartes_index_refine(i) > 0 AS changed
FROM unnest('{shapes_levels,shapes_ip,shapes_cosine}'::regclass[]) i;
SELECT i AS index, levels, in_degree_min >= 4 AS in_degree, reachable_nodes = nodes AS reachable
FROM unnest('{shapes_levels,shapes_ip,shapes_cosine}'::regclass[]) i, descartes_index_stats(i);
SELECT i AS index, descartes_index_check(i, true)
FROM unnest('{shapes_levels,shapes_ip,shapes_cosine}'::regclass[]) i;
CREATE TEMP TABLE temp_refined AS SELECT * FROM shapes LIMIT 100;
ALTER TABLE temp_refined ALTER embedding TYPE vector(8);
CREATE INDEX temp_refined_fng ON temp_refined USING fng (embedding vector_l2_ops);
SELECT descartes_index_refine('temp_refined_fng') IS NOT NULL AS done;
SELECT descartes_index_check('temp_refined_fng', true);
CREATE UNLOGGED TABLE unlogged_refined (embedding vector(8));
CREATE INDEX unlogged_refined_fng ON unlogged_refined USING fng (embedding vector_l2_ops);
INSERT INTO unlogged_refined SELECT embedding FROM shapes LIMIT 700;
SELECT descartes_index_refine('unlogged_refined_fng') IS NOT NULL AS done;
SELECT descartes_index_check('unlogged_refined_fng', true);

-- vectors that no slot can hold, and a sample of the top level that changes:
-- all the first rows go
CREATE TABLE long (id int, embedding vector(1300));
INSERT INTO long SELECT i, point(1300, i) FROM generate_series(1, 520) i;
CREATE INDEX long_fng ON long USING fng (embedding vector_l2_ops);
DELETE FROM long WHERE id <= 300;
VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) long;
INSERT INTO long SELECT i, point(1300, i) FROM generate_series(521, 560) i;
SELECT levels, vectors_inline FROM descartes_index_stats('long_fng');
SELECT descartes_index_refine('long_fng') > 0 AS changed;
SELECT descartes_index_check('long_fng', true);
SELECT descartes_index_refine('long_fng') IS NOT NULL AS done;
SELECT descartes_index_check('long_fng', true);

-- in a transaction that is rolled back: what is done stays, and does no harm
BEGIN;
INSERT INTO refined SELECT i, point(8, i) FROM generate_series(2001, 2100) i;
SELECT descartes_index_refine('refined_fng') > 0 AS changed;
ROLLBACK;
SELECT descartes_index_check('refined_fng', true);

-- all blocks are read
SELECT descartes_index_prewarm('refined_fng') = pg_relation_size('refined_fng') / 8192 AS all_blocks;
SELECT descartes_index_prewarm('temp_refined_fng') > 0 AS some_blocks;

-- refused: what is no fng index
CREATE INDEX refined_btree ON refined (id);
SELECT descartes_index_refine('refined_btree');
SELECT descartes_index_prewarm('refined_btree');
SELECT descartes_index_refine('refined');
SELECT descartes_index_refine(NULL) IS NULL AS strict;

-- to refine takes the table's owner, to read it into memory who may read it
CREATE ROLE regress_refiner;
SET ROLE regress_refiner;
SELECT descartes_index_refine('refined_fng');
SELECT descartes_index_prewarm('refined_fng');
RESET ROLE;
GRANT SELECT ON refined TO regress_refiner;
SET ROLE regress_refiner;
SELECT descartes_index_refine('refined_fng');
SELECT descartes_index_prewarm('refined_fng') > 0 AS allowed;
RESET ROLE;
REVOKE SELECT ON refined FROM regress_refiner;
ALTER TABLE few OWNER TO regress_refiner;
SET ROLE regress_refiner;
SELECT descartes_index_refine('few_fng') IS NOT NULL AS allowed;
SELECT descartes_index_prewarm('few_fng') > 0 AS allowed;
RESET ROLE;

DROP TABLE refined, few, shapes, unlogged_refined, long;
DROP FUNCTION point(int, int), answers(text);
DROP ROLE regress_refiner;
