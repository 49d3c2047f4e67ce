-- Corners of the access method, each found by a failure.
SET client_min_messages = warning;

-- most nodes dead: an insert neither fails nor walks the whole graph
CREATE TABLE mostly_dead (id int, e vector(3));
INSERT INTO mostly_dead
SELECT i, ARRAY[(i * 7919) % 1009, (i * 1047) % 1013, (i * 1297) % 1019]::real[]::vector
FROM generate_series(1, 20000) i;
CREATE INDEX ON mostly_dead USING fng (e vector_l2_ops);
DELETE FROM mostly_dead WHERE id % 400 <> 0;
VACUUM mostly_dead;
INSERT INTO mostly_dead
SELECT -i, ARRAY[(i * 31) % 1009, (i * 37) % 1013, (i * 41) % 1019]::real[]::vector
FROM generate_series(1, 100) i;
SELECT descartes_index_check('mostly_dead_e_idx', true);
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM mostly_dead ORDER BY e <-> '[1,2,3]') t;
RESET enable_seqscan;
DROP TABLE mostly_dead;

-- one row has no neighbours to calibrate on
CREATE TABLE one_row (e vector(2));
INSERT INTO one_row VALUES ('[1,1]');
CREATE INDEX ON one_row USING fng (e vector_cosine_ops);
SELECT descartes_index_check('one_row_e_idx', true);
SELECT rows, calibrated_search_res_cnt FROM descartes_index_stats('one_row_e_idx');
SELECT descartes_index_recall('one_row_e_idx');
DROP TABLE one_row;

-- an empty table, then rows; REINDEX of an empty table
CREATE TABLE no_rows (e vector(2));
CREATE INDEX ON no_rows USING fng (e vector_ip_ops);
REINDEX TABLE no_rows;
SELECT descartes_index_check('no_rows_e_idx', true);
INSERT INTO no_rows VALUES ('[1,2]'), (NULL), ('[3,4]');
SELECT descartes_index_check('no_rows_e_idx', true);
SET enable_seqscan = off;
SELECT e FROM no_rows ORDER BY e <#> '[1,1]';
RESET enable_seqscan;
DROP TABLE no_rows;

-- norms beyond float32
CREATE TABLE huge_norms (id int, e vector(2));
INSERT INTO huge_norms VALUES (1, '[3e38,3e38]'), (2, '[1,1]'), (3, '[-3e38,2]'), (4, '[1e-38,1e-38]');
CREATE INDEX ON huge_norms USING fng (e vector_cosine_ops);
CREATE INDEX ON huge_norms USING fng (e vector_ip_ops);
CREATE INDEX ON huge_norms USING fng (e vector_l2_ops);
INSERT INTO huge_norms VALUES (5, '[-3e38,-3e38]'), (6, '[3e38,-3e38]'), (7, '[2,3]');
SELECT descartes_index_check('huge_norms_e_idx2', true);
SELECT descartes_index_check('huge_norms_e_idx', true), descartes_index_check('huge_norms_e_idx1', true);
SET enable_seqscan = off;
SELECT count(DISTINCT id) FROM (SELECT id FROM huge_norms ORDER BY e <#> '[1,1]') t;
SELECT count(DISTINCT id) FROM (SELECT id FROM huge_norms ORDER BY e <=> '[1,1]') t;
SELECT count(DISTINCT id) FROM (SELECT id FROM huge_norms ORDER BY e <-> '[1,1]') t;
RESET enable_seqscan;
DROP TABLE huge_norms;

-- equal rows keep being reachable as others come
CREATE TABLE equals (e vector(2));
CREATE INDEX ON equals USING fng (e vector_l2_ops);
INSERT INTO equals SELECT ('[' || i % 3 || ',1]')::vector FROM generate_series(1, 600) i;
INSERT INTO equals SELECT ARRAY[(i * 7919) % 1009, (i * 1047) % 1013]::real[]::vector FROM generate_series(1, 500) i;
SELECT descartes_index_check('equals_e_idx', true);
SELECT rows, nodes - reachable_nodes AS unreachable FROM descartes_index_stats('equals_e_idx');
DROP TABLE equals;

-- calibration does not depend on the session
CREATE TABLE calibrated (e vector(8));
INSERT INTO calibrated
SELECT ARRAY[(i * 7919) % 1009, (i * 1047) % 1013, (i * 1297) % 1019, (i * 31) % 1021,
             (i * 613) % 1031, (i * 4001) % 1033, (i * 2003) % 1039, (i * 977) % 1049]::real[]::vector
FROM generate_series(1, 3000) i;
CREATE INDEX at_rest ON calibrated USING fng (e vector_l2_ops);
SET descartes.search_explore_factor = 5;
SET descartes.search_res_cnt = 1000;
CREATE INDEX in_haste ON calibrated USING fng (e vector_l2_ops);
RESET descartes.search_explore_factor;
RESET descartes.search_res_cnt;
SELECT a.calibrated_search_res_cnt = b.calibrated_search_res_cnt AS same
FROM descartes_index_stats('at_rest') a, descartes_index_stats('in_haste') b;
DROP TABLE calibrated;

-- levels between the base and the top, which only huge tables have by default
SET descartes.debug_level_ratio = 2;
CREATE TABLE levels (id int, e vector(4));
INSERT INTO levels
SELECT i, ARRAY[(i * 7919) % 1009, (i * 1047) % 1013, (i * 1297) % 1019, (i * 31) % 1021]::real[]::vector
FROM generate_series(1, 5000) i;
CREATE INDEX ON levels USING fng (e vector_l2_ops);
RESET descartes.debug_level_ratio;
SELECT levels FROM descartes_index_stats('levels_e_idx');
INSERT INTO levels
SELECT -i, ARRAY[(i * 613) % 1031, (i * 4001) % 1033, (i * 2003) % 1039, (i * 977) % 1049]::real[]::vector
FROM generate_series(1, 500) i;
SELECT descartes_index_check('levels_e_idx', true);
SELECT descartes_index_recall('levels_e_idx', 200) > 0.99 AS recall;
DROP TABLE levels;
