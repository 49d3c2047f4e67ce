--
-- Type vector: text input and output, type modifier
--

-- what is accepted
SELECT v::vector FROM (VALUES
	('[1,2,3]'),
	('[-1,+2,-0]'),
	('[1.,.5,-.25,00012.50]'),
	('[1e2,1E2,1e+2,1e-2,15e-1]'),
	('[0x10,0x1p-2,-0X1.8P1]'),
	('[1.5e38,-1.5e-38,3.4028235e38]'),
	('[1e-45,1e-46,-1e-46]'),
	('[16777217,9007199254740993,0.1]'),
	('[0.023064255714416504,-0.00881543941795826]'),
	('[123456789012345678901234567890,0.00000000000000000000000000000000000012345]'),
	(E' \t\n\r\f[ 1 \t,\n2\r,' || chr(11) || E'3\f] \t\n' || chr(11))
) t (v);

-- elements are rounded once: these lie next to the midpoint of two floats
SELECT '[1.000000059604644775390624,1.000000059604644775390625,1.000000059604644775390626]'::vector;

-- output is the shortest text that reads back the same
SELECT '[0.1,0.2,0.3,33554431,33554433,1e10,1e15,1e16,1.17549435e-38,1e-6,0.0001,0.00001]'::vector;
SELECT count(*) FROM generate_series(-45, 37) e, (VALUES (1), (1.2345678), (9.9999999)) m (m)
WHERE ('[' || m || 'e' || e || ']')::vector::text::vector::real[] <>
	('[' || m || 'e' || e || ']')::vector::real[];
SELECT ARRAY[1.1]::real[]::vector::text = '[' || 1.1::real || ']' AS same_as_float4out;

-- every error of the parser, with its place and a hint
SELECT ''::vector;
SELECT '  1,2,3'::vector;
SELECT '{1,2,3}'::vector;
SELECT '[]'::vector;
SELECT ' [ ]'::vector;
SELECT '['::vector;
SELECT '[ '::vector;
SELECT '[1'::vector;
SELECT '[1,2,'::vector;
SELECT '[,'::vector;
SELECT '[,]'::vector;
SELECT '[1,]'::vector;
SELECT '[1,,3]'::vector;
SELECT '[1, ,3]'::vector;
SELECT '[hello,1]'::vector;
SELECT '[1a]'::vector;
SELECT '[1 2]'::vector;
SELECT '[1;2]'::vector;
SELECT '[1e]'::vector;
SELECT '[--1]'::vector;
SELECT '[- 1]'::vector;
SELECT '[.]'::vector;
SELECT '[0x]'::vector;
SELECT '[[1]]'::vector;
SELECT '[1,2]]'::vector;
SELECT '[1,2,3]9'::vector;
SELECT '[1,2,3] , [4]'::vector;
SELECT '[NaN,1]'::vector;
SELECT '[1,-nan]'::vector;
SELECT '[Infinity,1]'::vector;
SELECT '[1, -inf]'::vector;
SELECT '[4e38,1]'::vector;
SELECT '[1,-4e38]'::vector;
SELECT '[3.4028236e38]'::vector;
SELECT '[1, 1e999999999999 ]'::vector;

-- a character is reported whole
DO $$
DECLARE
	detail text;
BEGIN
	PERFORM ('[1,' || chr(233) || ']')::vector;
EXCEPTION WHEN invalid_text_representation THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	IF getdatabaseencoding() = 'UTF8' AND
		detail <> 'Unexpected "' || chr(233) || '" at position 4, in element 2.' THEN
		RAISE WARNING '%', detail;
	END IF;
END
$$;

-- dimensions
SELECT vector_dims(('[' || repeat('0,', 65534) || '0]')::vector);
SELECT vector_dims(('[' || repeat('0,', 65535) || '0]')::vector);
SELECT length(('[' || repeat('-1.2345678e-30,', 65534) || '-1.2345678e-30]')::vector::text);

-- type modifier
SELECT '[1,2,3]'::vector(3);
SELECT '[1,2,3]'::vector(2);
SELECT '[1,2,3]'::vector(65535);
SELECT '[1,2,3]'::vector(0);
SELECT '[1,2,3]'::vector(-1);
SELECT '[1,2,3]'::vector(65536);
SELECT '[1,2,3]'::vector(3, 2);
SELECT '[1,2,3]'::vector('a');
SELECT unnest('{"[1,2,3]", "[4,5,6]"}'::vector[]);
SELECT '{"[1,2,3]"}'::vector(2)[];
CREATE TABLE t (v vector(3), w vector);
INSERT INTO t VALUES ('[1,2,3]', '[1]'), (NULL, '[1,2,3,4]');
INSERT INTO t VALUES ('[1,2]');
INSERT INTO t (v) SELECT w FROM t;
SELECT attname, format_type(atttypid, atttypmod), attstorage FROM pg_attribute
WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum;
ALTER TABLE t ALTER w TYPE vector(1);
DELETE FROM t WHERE v IS NULL;
ALTER TABLE t ALTER w TYPE vector(1);
SELECT * FROM t;
DROP TABLE t;

-- soft errors, where the server has them (16): the same verdicts otherwise
CREATE FUNCTION vector_input_error(text, type text DEFAULT 'vector') RETURNS text AS $$
DECLARE
	message text;
BEGIN
	IF current_setting('server_version_num')::int >= 160000 THEN
		EXECUTE 'SELECT message FROM pg_input_error_info($1, $2)' INTO message USING $1, $2;
	ELSE
		EXECUTE format('SELECT %L::%s', $1, $2);
	END IF;
	RETURN message;
EXCEPTION WHEN OTHERS THEN
	IF current_setting('server_version_num')::int >= 160000 THEN
		RAISE;
	END IF;
	RETURN sqlerrm;
END
$$ LANGUAGE plpgsql;
SELECT v, vector_input_error(v) FROM (VALUES
	('[1,2]'), (''), ('[]'), ('[1'), ('[1,2]3'), ('[a]'), ('[nan]'), ('[inf]'), ('[1e39]')) t (v);
SELECT vector_input_error('[1,2]', 'vector(3)');
SELECT vector_input_error('[' || repeat('0,', 65535) || '0]');
DROP FUNCTION vector_input_error;

-- statistics: width and NULLs, no values
CREATE TABLE t (v vector);
ANALYZE t;
INSERT INTO t SELECT CASE WHEN i % 4 <> 0 THEN ARRAY[i, i]::vector END FROM generate_series(1, 100) i;
ANALYZE t;
SELECT null_frac, avg_width, n_distinct, most_common_vals IS NULL AS no_mcv, histogram_bounds IS NULL AS no_histogram
FROM pg_stats WHERE tablename = 't';
TRUNCATE t;
INSERT INTO t SELECT NULL FROM generate_series(1, 10);
ANALYZE t;
SELECT null_frac, n_distinct FROM pg_stats WHERE tablename = 't';
DROP TABLE t;
