--
-- descartes_index_check, descartes_index_stats: on what, by whom
--
SET client_min_messages = warning;

CREATE TABLE inspected (id int, embedding vector(3));
INSERT INTO inspected
	SELECT i, CASE WHEN i % 10 <> 0 THEN ARRAY[i, i % 7, i % 11]::vector END
	FROM generate_series(1, 100) i;
CREATE INDEX inspected_fng ON inspected USING fng (embedding vector_l2_ops)
	WITH (max_neighbor_cnt = 16, seed = 7);
CREATE INDEX inspected_btree ON inspected (id);

SELECT descartes_index_check('inspected_fng');
SELECT descartes_index_check('inspected_fng', true);
SELECT descartes_index_check(NULL) IS NULL AS strict;

\x
SELECT rows, null_rows, nan_rows, nodes, dead_nodes, levels,
	degree_min > 0 AS linked, degree_max <= 32 AS bounded,
	degree_mean BETWEEN degree_min AND degree_max AS mean,
	in_degree_min > 0 AS known, reachable_nodes,
	index_bytes = pg_relation_size('inspected_fng') AS bytes,
	bytes_per_node = pg_relation_size('inspected_fng') / 90.0 AS per_node,
	format_version, metric, dimensions, max_neighbor_cnt, search_res_cnt,
	slot_size > 0 AND slots_per_page > 0 AS slots, seed, options
FROM descartes_index_stats('inspected_fng');
\x

-- options of the layout wait for REINDEX
ALTER INDEX inspected_fng SET (max_neighbor_cnt = 32);
SELECT max_neighbor_cnt, options FROM descartes_index_stats('inspected_fng');
REINDEX INDEX inspected_fng;
SELECT max_neighbor_cnt, options FROM descartes_index_stats('inspected_fng');

-- rows come and go
INSERT INTO inspected VALUES (101, '[1,2,3]'), (102, NULL);
SELECT rows, null_rows, nodes, reachable_nodes FROM descartes_index_stats('inspected_fng');
SELECT descartes_index_check('inspected_fng', true);

-- other metrics; rows at distance NaN; no rows
CREATE INDEX inspected_ip ON inspected USING fng (embedding vector_ip_ops);
INSERT INTO inspected VALUES (103, '[0,0,0]');
CREATE INDEX inspected_cosine ON inspected USING fng (embedding vector_cosine_ops);
CREATE TABLE empty_inspected (embedding vector(3));
CREATE INDEX empty_inspected_fng ON empty_inspected USING fng (embedding vector_l2_ops);
SELECT i AS index, rows, null_rows, nan_rows, nodes, metric, degree_mean IS NULL AS no_degree
FROM unnest('{inspected_ip,inspected_cosine,empty_inspected_fng}'::regclass[]) i,
	descartes_index_stats(i);
SELECT descartes_index_check(i, true)
FROM unnest('{inspected_ip,inspected_cosine,empty_inspected_fng}'::regclass[]) i;

-- partial and expression indexes, in a transaction with its own changes
CREATE INDEX inspected_partial ON inspected USING fng (embedding vector_l2_ops) WHERE id > 50;
CREATE INDEX inspected_expression ON inspected
	USING fng ((CASE WHEN id > 50 THEN embedding END::vector(3)) vector_l2_ops);
BEGIN ISOLATION LEVEL REPEATABLE READ;
DELETE FROM inspected WHERE id % 3 = 0;
INSERT INTO inspected VALUES (104, '[4,5,6]');
UPDATE inspected SET embedding = '[7,8,9]' WHERE id = 104;
SELECT descartes_index_check(i, true)
FROM unnest('{inspected_fng,inspected_partial,inspected_expression}'::regclass[]) i;
ROLLBACK;
SELECT descartes_index_check(i, true)
FROM unnest('{inspected_fng,inspected_partial,inspected_expression}'::regclass[]) i;

-- temporary and unlogged indexes
CREATE TEMP TABLE temp_inspected (embedding vector(2));
INSERT INTO temp_inspected VALUES ('[1,2]'), ('[3,4]');
CREATE INDEX temp_inspected_fng ON temp_inspected USING fng (embedding vector_l2_ops);
SELECT descartes_index_check('temp_inspected_fng', true);
CREATE UNLOGGED TABLE unlogged_inspected (embedding vector(2));
INSERT INTO unlogged_inspected VALUES ('[1,2]'), ('[3,4]');
CREATE INDEX unlogged_inspected_fng ON unlogged_inspected USING fng (embedding vector_l2_ops);
SELECT descartes_index_check('unlogged_inspected_fng', true);

-- refused: other access methods, what is no index, partitioned indexes
SELECT descartes_index_check('inspected_btree');
SELECT descartes_index_stats('inspected_btree');
SELECT descartes_index_check('inspected');
SELECT descartes_index_check(0);
CREATE TABLE parts (embedding vector(2)) PARTITION BY RANGE (vector_dims(embedding));
CREATE TABLE part PARTITION OF parts DEFAULT;
CREATE INDEX parts_fng ON parts USING fng (embedding vector_l2_ops);
SELECT descartes_index_check('parts_fng');
SELECT descartes_index_check('part_embedding_idx');

-- refused: an index that is not valid
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'inspected_partial'::regclass;
SELECT descartes_index_check('inspected_partial');
SELECT descartes_index_stats('inspected_partial');

-- refused: who does not own the table; allowed: a member of the owner
CREATE ROLE regress_inspector;
CREATE ROLE regress_inspected;
SET ROLE regress_inspector;
SELECT descartes_index_check('inspected_fng');
SELECT descartes_index_stats('inspected_fng');
RESET ROLE;
ALTER TABLE inspected OWNER TO regress_inspected;
GRANT regress_inspected TO regress_inspector;
SET ROLE regress_inspector;
SELECT descartes_index_check('inspected_fng');
SELECT rows FROM descartes_index_stats('inspected_fng');
RESET ROLE;

-- expressions run as the owner, who sees no more than its own
CREATE FUNCTION spy(vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'regress_inspected' THEN
		RAISE EXCEPTION 'runs as %', current_user;
	END IF;
	RETURN $1;
END $$;
GRANT CREATE ON SCHEMA public TO regress_inspected;
SET ROLE regress_inspected;
CREATE INDEX inspected_spy ON inspected USING fng ((spy(embedding)::vector(3)) vector_l2_ops);
RESET ROLE;
SELECT descartes_index_check('inspected_spy', true);
SELECT current_user = session_user AS myself_again;

DROP TABLE inspected, empty_inspected, unlogged_inspected, parts;
DROP FUNCTION spy(vector);
REVOKE CREATE ON SCHEMA public FROM regress_inspected;
DROP ROLE regress_inspector, regress_inspected;
