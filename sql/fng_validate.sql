--
-- Operator classes of the access method fng, and what it says of itself
--

-- ours are in order
SELECT opcname, opcdefault, amvalidate(c.oid)
	FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
	WHERE amname = 'fng' ORDER BY opcname;

SELECT opcname, amopopr::regoperator, amopstrategy, amoppurpose, sort.opfname
	FROM pg_amop
	JOIN pg_opclass ON opcfamily = amopfamily
	JOIN pg_am a ON a.oid = opcmethod
	JOIN pg_opfamily sort ON sort.oid = amopsortfamily
	WHERE amname = 'fng' ORDER BY opcname, amopstrategy;

-- operators may be dropped from a family, the support function may not
CREATE OPERATOR FAMILY fng_test_family USING fng;
CREATE OPERATOR CLASS fng_test_ops FOR TYPE vector USING fng FAMILY fng_test_family AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 fng_vector_l2_support(internal);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'fng_test_ops';
ALTER OPERATOR FAMILY fng_test_family USING fng DROP FUNCTION 1 (vector, vector);
ALTER OPERATOR FAMILY fng_test_family USING fng DROP OPERATOR 1 (vector, vector);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'fng_test_ops';

-- what a scan could not honour is refused
ALTER OPERATOR FAMILY fng_test_family USING fng ADD
	OPERATOR 2 <-> (vector, vector) FOR ORDER BY float_ops;
ALTER OPERATOR FAMILY fng_test_family USING fng ADD
	OPERATOR 1 = (vector, vector);
ALTER OPERATOR FAMILY fng_test_family USING fng ADD
	OPERATOR 1 * (vector, double precision) FOR ORDER BY float_ops;
ALTER OPERATOR FAMILY fng_test_family USING fng ADD
	FUNCTION 2 fng_vector_l2_support(internal);

-- what it could but should not is reported
ALTER OPERATOR FAMILY fng_test_family USING fng ADD
	OPERATOR 1 + (vector, vector) FOR ORDER BY float_ops;
ALTER OPERATOR FAMILY fng_test_family USING fng ADD
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY vector_ops;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'fng_test_ops';
DROP OPERATOR FAMILY fng_test_family USING fng CASCADE;

CREATE OPERATOR FAMILY fng_test_family USING fng;
CREATE OPERATOR CLASS fng_test_ops FOR TYPE vector USING fng FAMILY fng_test_family AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 vector_dims(vector);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'fng_test_ops';
DROP OPERATOR FAMILY fng_test_family USING fng CASCADE;

CREATE OPERATOR FAMILY fng_test_family USING fng;
CREATE OPERATOR CLASS fng_test_ops FOR TYPE vector USING fng FAMILY fng_test_family AS
	FUNCTION 1 (vector, text) fng_vector_l2_support(internal);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'fng_test_ops';
DROP OPERATOR FAMILY fng_test_family USING fng CASCADE;

-- properties
CREATE TABLE fng_validate (v vector(3));
CREATE INDEX fng_validate_idx ON fng_validate USING fng (v);
SELECT prop, pg_indexam_has_property(oid, prop) AS am,
		pg_index_has_property('fng_validate_idx', prop) AS index,
		pg_index_column_has_property('fng_validate_idx', 1, prop) AS column
	FROM pg_am, unnest(ARRAY['can_order', 'can_unique', 'can_multi_col', 'can_exclude',
		'can_include', 'clusterable', 'index_scan', 'bitmap_scan', 'backward_scan',
		'asc', 'desc', 'nulls_first', 'nulls_last', 'orderable', 'distance_orderable',
		'returnable', 'search_array', 'search_nulls']) prop
	WHERE amname = 'fng';

-- so these are refused
CREATE INDEX ON fng_validate USING fng (v, v);
CREATE INDEX ON fng_validate USING fng (v) INCLUDE (v);
CREATE UNIQUE INDEX ON fng_validate USING fng (v);
CREATE INDEX ON fng_validate USING fng (v DESC);
CLUSTER fng_validate USING fng_validate_idx;

SELECT descartes_index_check('fng_validate_idx');
DROP TABLE fng_validate;
