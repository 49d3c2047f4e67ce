--
-- Type vector: COPY in text, CSV and binary
--

CREATE TABLE t (id int, v vector);
INSERT INTO t VALUES
	(1, '[0,-0,1]'), (2, '[1.5,-2.25,3e38]'), (3, NULL), (4, '[1e-45]'),
	(5, array_fill(0.1, ARRAY[1000])::vector), (6, array_fill(-7, ARRAY[65535])::vector);

COPY (SELECT * FROM t WHERE id <= 4 ORDER BY id) TO stdout;
COPY (SELECT * FROM t WHERE id <= 4 ORDER BY id) TO stdout (FORMAT csv);

CREATE TABLE t2 (LIKE t);
COPY t2 FROM stdin;
1	[1,2,3]
2	 [ 4 , 5 ] 
3	\N
\.
COPY t2 FROM stdin (FORMAT csv);
4,"[1,2,3]"
5,
\.
SELECT * FROM t2 ORDER BY id;
COPY t2 FROM stdin;
6	[1,2,3
\.

-- there and back; a file in the data directory
TRUNCATE t2;
COPY t TO PROGRAM 'cat > descartes_regress.bin' (FORMAT binary);
COPY t2 FROM PROGRAM 'cat descartes_regress.bin; rm descartes_regress.bin' (FORMAT binary);
SELECT count(*), count(t.v), bool_and(t.v = t2.v OR t.v IS NULL AND t2.v IS NULL) AS same,
	bool_and(vector_send(t.v) = vector_send(t2.v)) AS same_bytes
FROM t JOIN t2 USING (id);
DROP TABLE t, t2;

-- the format: dimensions, zero, elements, in network byte order
SELECT vector_send('[1,-2]'), vector_send('[0,-0]');

-- every error of binary input; the header of a binary file comes first
CREATE TABLE t (v vector);
CREATE TABLE t3 (v vector(3));
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\014\000\002\000\000\077\200\000\000\300\000\000\000\377\377'$$ (FORMAT binary);
SELECT * FROM t;
-- no dimensions
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\004\000\000\000\000\377\377'$$ (FORMAT binary);
-- unused is not zero
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\010\000\001\000\001\077\200\000\000\377\377'$$ (FORMAT binary);
-- fewer elements than dimensions
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\010\000\002\000\000\077\200\000\000\377\377'$$ (FORMAT binary);
-- more elements than dimensions
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\014\000\001\000\000\077\200\000\000\077\200\000\000\377\377'$$ (FORMAT binary);
-- header cut off
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\003\000\001\000\377\377'$$ (FORMAT binary);
-- NaN, infinity
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\014\000\002\000\000\077\200\000\000\177\300\000\000\377\377'$$ (FORMAT binary);
COPY t FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\010\000\001\000\000\377\200\000\000\377\377'$$ (FORMAT binary);
-- dimensions of the column
COPY t3 FROM PROGRAM $$printf 'PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000\000\001\000\000\000\014\000\002\000\000\077\200\000\000\300\000\000\000\377\377'$$ (FORMAT binary);
DROP TABLE t, t3;
