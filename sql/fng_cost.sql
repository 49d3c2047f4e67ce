--
-- What the planner makes of fng's cost estimates, all settings at their defaults
--
CREATE TABLE fng_cost (id int, category int, v vector(3));
INSERT INTO fng_cost SELECT i, i % 1000, ARRAY[random(), random(), random() + 0.1]::vector
	FROM generate_series(1, 10000) i;
CREATE INDEX fng_cost_l2 ON fng_cost USING fng (v vector_l2_ops);
CREATE INDEX fng_cost_ip ON fng_cost USING fng (v vector_ip_ops);
CREATE INDEX fng_cost_cosine ON fng_cost USING fng (v vector_cosine_ops);
CREATE INDEX fng_cost_category ON fng_cost (category);
ANALYZE fng_cost;

CREATE TABLE fng_cost_small (id int, v vector(3));
CREATE INDEX fng_cost_small_idx ON fng_cost_small USING fng (v);

-- an index without rows
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost_small ORDER BY v <-> '[1,2,3]' LIMIT 10;
INSERT INTO fng_cost_small SELECT id, v FROM fng_cost WHERE id <= 100;
ANALYZE fng_cost_small;

-- the nearest rows
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <-> '[1,2,3]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <#> '[1,2,3]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <=> '[1,2,3]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY '[1,2,3]' <-> v LIMIT 100;
EXPLAIN (COSTS OFF) SELECT a.id, b.id FROM fng_cost_small a,
	LATERAL (SELECT id FROM fng_cost b ORDER BY b.v <-> a.v LIMIT 10) b;
PREPARE nearest (vector, int) AS SELECT id FROM fng_cost ORDER BY v <-> $1 LIMIT $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE nearest ('[1,2,3]', 10);
RESET plan_cache_mode;
DEALLOCATE nearest;

-- no index serves the farthest rows, or another operator
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <-> '[1,2,3]' DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <+> '[1,2,3]' LIMIT 10;

-- a few rows are sorted faster
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost_small ORDER BY v <-> '[1,2,3]' LIMIT 10;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost_small ORDER BY v <-> '[1,2,3]' LIMIT 10;
RESET enable_seqscan;

-- unless each has to be fetched from TOAST
CREATE TABLE fng_cost_wide (id int, v vector(768));
INSERT INTO fng_cost_wide SELECT i, (SELECT array_agg(random()) FROM generate_series(i, i + 767))::vector
	FROM generate_series(1, 500) i;
CREATE INDEX fng_cost_wide_idx ON fng_cost_wide USING fng (v);
ANALYZE fng_cost_wide;
EXPLAIN (COSTS OFF) SELECT a.id, b.id FROM fng_cost_wide a,
	LATERAL (SELECT id FROM fng_cost_wide b ORDER BY b.v <-> a.v LIMIT 10) b;

-- most rows, or all of them, are sorted faster, too
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <-> '[1,2,3]' LIMIT 9000;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <-> '[1,2,3]';

-- a search that would look at most nodes
SET descartes.search_res_cnt = 10000;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost ORDER BY v <-> '[1,2,3]' LIMIT 10;
RESET descartes.search_res_cnt;

-- filters: most rows pass, few rows pass
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost WHERE category >= 100
	ORDER BY v <-> '[1,2,3]' LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost WHERE category = 100
	ORDER BY v <-> '[1,2,3]' LIMIT 10;

-- several keys: an exhaustive pass
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost
	ORDER BY v <-> '[1,2,3]', v <-> '[3,2,1]' LIMIT 10;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost
	ORDER BY v <-> '[1,2,3]', v <-> '[3,2,1]' LIMIT 10;

-- no key, which a partial index may serve
CREATE INDEX fng_cost_partial ON fng_cost USING fng (v) WHERE id % 1000 = 1;
EXPLAIN (COSTS OFF) SELECT count(v) FROM fng_cost WHERE id % 1000 = 1;
EXPLAIN (COSTS OFF) SELECT id FROM fng_cost WHERE id % 1000 = 1
	ORDER BY v <-> '[1,2,3]' LIMIT 10;
RESET enable_seqscan;

SELECT descartes_index_check(c.oid) FROM pg_class c JOIN pg_am a ON a.oid = relam
	WHERE amname = 'fng' AND relname LIKE 'fng_cost%' ORDER BY relname;
DROP TABLE fng_cost, fng_cost_small, fng_cost_wide;
