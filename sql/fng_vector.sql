--
-- Index scans over vectors: what can be told exactly
--
-- Every answer of the index is compared with the exact one.
SET enable_seqscan = off;
SET enable_sort = off;
SET enable_incremental_sort = off;
SET enable_bitmapscan = off;

CREATE TABLE fng_rows (id int, v vector(3));
INSERT INTO fng_rows SELECT i, ARRAY[i % 10, i / 10 % 10, i / 100]::vector
	FROM generate_series(0, 999) i;
CREATE INDEX fng_rows_idx ON fng_rows USING fng (v);

-- the nearest, and their distances
EXPLAIN (COSTS OFF) SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 1;
SELECT id, v <-> '[3,4,5]' AS d FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 1;
SELECT round((v <-> '[3,4,5]')::numeric, 4) AS d, count(*)
	FROM (SELECT v FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 7) s GROUP BY 1 ORDER BY 1;
SELECT id FROM fng_rows ORDER BY v <-> '[3.1,4.2,5.3]' LIMIT 3;

-- as many as are asked for, and all of them without LIMIT
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 500) s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 2000) s;
SELECT count(*), sum(id) FROM (SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' OFFSET 0) s;
SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 0;

-- filters: exactly the rows that pass
SELECT id FROM fng_rows WHERE id = 777 ORDER BY v <-> '[0,0,0]' LIMIT 5;
SELECT id FROM fng_rows WHERE id % 250 = 7 ORDER BY v <-> '[0.1,0.2,0.3]' LIMIT 5;
SELECT id FROM fng_rows WHERE id < 0 ORDER BY v <-> '[0,0,0]' LIMIT 5;
SELECT count(*) FROM (SELECT id FROM fng_rows WHERE v <-> '[3,4,5]' < 2.1 ORDER BY v <-> '[3,4,5]') s;
SELECT count(*) FROM fng_rows WHERE (v <-> '[3,4,5]') < 2.1;

-- a query that is NULL, and one of other dimensions
SELECT count(*), sum(id) FROM (SELECT id FROM fng_rows ORDER BY v <-> (SELECT NULL::vector) OFFSET 0) s;
SELECT id FROM fng_rows ORDER BY v <-> '[1,2]' LIMIT 1;
SELECT id FROM fng_rows ORDER BY v <-> '[1,2,3,4]' LIMIT 1;

-- the table is first on either side; other expressions do not use the index
EXPLAIN (COSTS OFF) SELECT id FROM fng_rows ORDER BY '[3,4,5]' <-> v LIMIT 1;
SELECT id FROM fng_rows ORDER BY '[3,4,5]' <-> v LIMIT 1;
RESET enable_seqscan;
RESET enable_sort;
EXPLAIN (COSTS OFF) SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' DESC LIMIT 1;
EXPLAIN (COSTS OFF) SELECT id FROM fng_rows ORDER BY v <#> '[3,4,5]' LIMIT 1;
SET enable_seqscan = off;
SET enable_sort = off;

-- without an order: any scan but an index-only one, though no column is needed
CREATE INDEX fng_rows_partial ON fng_rows USING fng (v) WHERE id < 5;
VACUUM fng_rows;
SELECT count(*) FROM fng_rows;
SELECT count(*) FROM fng_rows WHERE id < 5;
SELECT id FROM fng_rows WHERE id < 5 ORDER BY id;
SELECT EXISTS (SELECT FROM fng_rows), (SELECT 1 FROM fng_rows LIMIT 1);
DROP INDEX fng_rows_partial;

-- several keys
CREATE FUNCTION fng_same_order(query text, OUT rows int, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
	by_index text[];
	exact text[];
BEGIN
	EXECUTE format('SELECT array_agg(d::text) FROM (%s) s', query) INTO by_index;
	SET LOCAL enable_indexscan = off;
	SET LOCAL enable_seqscan = on;
	SET LOCAL enable_sort = on;
	EXECUTE format('SELECT array_agg(d::text) FROM (%s) s', query) INTO exact;
	SET LOCAL enable_indexscan = on;
	SET LOCAL enable_seqscan = off;
	SET LOCAL enable_sort = off;
	rows := cardinality(by_index);
	same := by_index = exact;
END $$;
EXPLAIN (COSTS OFF) SELECT id FROM fng_rows ORDER BY v <-> '[0,0,0]', v <-> '[9,0,0]' LIMIT 5;
SELECT * FROM fng_same_order($$SELECT (v <-> '[0,0,0]', v <-> '[9,0,0]') AS d FROM fng_rows
	ORDER BY v <-> '[0,0,0]', v <-> '[9,0,0]'$$);
SELECT * FROM fng_same_order($$SELECT (v <-> '[0,0,0]', v <-> '[9,0,0]', v <-> '[0,9,0]') AS d FROM fng_rows
	ORDER BY v <-> '[0,0,0]', v <-> '[9,0,0]', v <-> '[0,9,0]' LIMIT 100$$);
SELECT * FROM fng_same_order($$SELECT (v <-> (SELECT NULL::vector), v <-> '[9,0,0]') AS d FROM fng_rows
	ORDER BY v <-> (SELECT NULL::vector), v <-> '[9,0,0]'$$);
SELECT * FROM fng_same_order($$SELECT v <-> '[3.3,4.4,5.5]' AS d FROM fng_rows
	ORDER BY v <-> '[3.3,4.4,5.5]' LIMIT 20$$);

-- cursors go forward only
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM fng_rows ORDER BY v <-> '[3.1,4.2,5.3]';
FETCH 2 FROM c;
FETCH 1 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM fng_rows ORDER BY v <-> '[3.1,4.2,5.3]';
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
MOVE ALL FROM c;
ROLLBACK;

-- joins: one scan for many queries
EXPLAIN (COSTS OFF) SELECT q.i, n.id FROM generate_series(0, 4) q (i),
	LATERAL (SELECT id FROM fng_rows ORDER BY v <-> ARRAY[q.i + 0.1, 2.2, 3.3]::vector LIMIT 2) n;
SELECT q.i, n.id FROM generate_series(0, 4) q (i),
	LATERAL (SELECT id FROM fng_rows ORDER BY v <-> ARRAY[q.i + 0.1, 2.2, 3.3]::vector LIMIT 2) n;
SELECT count(*) FROM (VALUES ('[1,1,1]'::vector), (NULL), ('[2,2,2]')) q (v),
	LATERAL (SELECT id FROM fng_rows ORDER BY v <-> q.v) n;
PREPARE nearest (vector) AS SELECT id FROM fng_rows ORDER BY v <-> $1 LIMIT 1;
EXECUTE nearest ('[1,2,3]');
EXECUTE nearest ('[9,9,9]');
SET plan_cache_mode = force_generic_plan;
EXECUTE nearest ('[1,2,3]');
EXECUTE nearest (NULL) \gset
RESET plan_cache_mode;

-- rows of this transaction, of aborted subtransactions, and removed ones
BEGIN;
INSERT INTO fng_rows VALUES (-1, '[3.1,4.1,5.1]');
SAVEPOINT s;
INSERT INTO fng_rows VALUES (-2, '[3.1,4.1,5.1]');
SELECT id FROM fng_rows ORDER BY v <-> '[3.1,4.1,5.1]', id LIMIT 3;
ROLLBACK TO s;
SELECT id FROM fng_rows ORDER BY v <-> '[3.1,4.1,5.1]' LIMIT 2;
DELETE FROM fng_rows WHERE id = 543;
SELECT id FROM fng_rows ORDER BY v <-> '[3.1,4.1,5.1]' LIMIT 1;
ROLLBACK;
SELECT id FROM fng_rows ORDER BY v <-> '[3.1,4.1,5.1]' LIMIT 1;
DELETE FROM fng_rows WHERE id = 543;
VACUUM (INDEX_CLEANUP ON) fng_rows;
SELECT count(*) FROM (SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 6) s;
SELECT count(*), sum(id) FROM (SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' OFFSET 0) s;
UPDATE fng_rows SET v = '[100,100,100]' WHERE id = 0;
SELECT id, v FROM fng_rows ORDER BY v <-> '[101,100,100]' LIMIT 1;
SELECT descartes_index_check('fng_rows_idx', true);
TRUNCATE fng_rows;
SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 1;
INSERT INTO fng_rows VALUES (1, '[1,1,1]');
SELECT id FROM fng_rows ORDER BY v <-> '[3,4,5]' LIMIT 1;
DROP TABLE fng_rows;
DROP FUNCTION fng_same_order;
