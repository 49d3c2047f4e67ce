--
-- Type vector: casts
--

SELECT ARRAY[1,2,3]::vector, ARRAY[1.5,2,3]::vector, ARRAY[1.5,2,3]::real[]::vector,
	ARRAY[1.5,2,3]::float8[]::vector, ARRAY[1.5,2,3]::numeric[]::vector;
SELECT ARRAY[16777217, -2147483648, 2147483647]::vector;
SELECT '[0:2]={1,2,3}'::int[]::vector AS bounds_do_not_matter;
SELECT '[1.5,-2,0.1]'::vector::real[], array_dims('[1,2,3]'::vector::real[]);
SELECT '[1,2,3]'::vector::real[]::vector = '[1,2,3]'::vector AS back;
SELECT vector_to_float4('[1,2]', -1, false), array_to_vector(ARRAY[1,2], 2, true);

-- to an array it needs no cast, from one an assignment or a cast
CREATE FUNCTION length_of(real[]) RETURNS int LANGUAGE sql AS 'SELECT array_length($1, 1)';
SELECT length_of('[1,2,3]'::vector);
DROP FUNCTION length_of;
CREATE TABLE t (v vector(3));
INSERT INTO t VALUES (ARRAY[1,2,3]), (ARRAY[1.5,2,3]), ('{4,5,6}'::float8[]), ('{7,8,9}'::real[]);
INSERT INTO t VALUES (ARRAY[1,2]);
SELECT * FROM t;
SELECT v <-> ARRAY[1,2,3]::vector FROM t;
SELECT v <-> ARRAY[1,2,3] FROM t;
DROP TABLE t;

-- arrays stay arrays
SELECT ARRAY[1,2,3] = ARRAY[1,2,3], ARRAY[1,2,3] || ARRAY[4], ARRAY[1.5] < ARRAY[2.5];

-- type modifier
SELECT '{1,2,3}'::real[]::vector(3), ARRAY[1,2,3]::vector(3);
SELECT '{1,2,3}'::real[]::vector(2);
SELECT ARRAY[1,2,3]::vector(4);
SELECT array_to_vector(ARRAY[1,2,3], 2, false);
SELECT ('[1,2,3]'::vector(3))::vector(2);

-- what a vector cannot be
SELECT '{}'::real[]::vector;
SELECT '{{1,2},{3,4}}'::real[]::vector;
SELECT '{1,NULL}'::real[]::vector;
SELECT '{1,NULL}'::int[]::vector;
SELECT '{1,NULL}'::numeric[]::vector;
SELECT '{1,NaN}'::real[]::vector;
SELECT '{Infinity}'::real[]::vector;
SELECT '{0,-Infinity}'::float8[]::vector;
SELECT '{NaN}'::float8[]::vector;
SELECT '{1,NaN}'::numeric[]::vector;
SELECT '{4e38,-4e38}'::float8[]::vector;
SELECT '{1,1e39}'::numeric[]::vector;
SELECT '{1e-46,-1e-46}'::float8[]::vector;
SELECT '{text}'::text[]::vector;
SELECT vector_dims(array_agg(n)::vector) FROM generate_series(1, 65535) n;
SELECT array_agg(n)::vector FROM generate_series(1, 65536) n;
SELECT array_to_vector(array_agg(n), 65536, false) FROM generate_series(1, 65536) n;

-- an array with room for NULLs that has none
SELECT (array_remove(ARRAY[1,NULL,3], NULL))::vector, (ARRAY[1,NULL,3])[3:3]::vector;
CREATE TABLE t (a real[]);
INSERT INTO t VALUES (ARRAY[1,NULL,3]);
UPDATE t SET a[2] = 2;
SELECT a::vector FROM t;
DROP TABLE t;
