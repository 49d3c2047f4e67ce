--
-- The library: version, SIMD levels, the rules that every function keeps
--

SELECT descartes_version() = extversion AS same_version
FROM pg_extension WHERE extname = 'descartes';

SELECT extrelocatable FROM pg_extension WHERE extname = 'descartes';

SHOW descartes.simd;

-- scalar code runs everywhere
SELECT setting, active = best AS best_active, 'scalar' = ANY (available) AS scalar
FROM descartes_simd_info();
SET descartes.simd = scalar;
SELECT setting, active, active = ANY (available) AS known FROM descartes_simd_info();

-- every level of this CPU gives the same answers for small integers
CREATE FUNCTION distances_at_all_levels() RETURNS SETOF text AS $$
DECLARE
	level text;
BEGIN
	FOR level IN SELECT unnest(available) FROM descartes_simd_info() LOOP
		PERFORM set_config('descartes.simd', level, false);
		RETURN QUERY SELECT concat_ws(' ', a <-> b, a <#> b, a <+> b, round((a <=> b)::numeric, 6), vector_norm(a))
			FROM (SELECT array_agg(i % 7)::vector AS a, array_agg(3 - i % 5)::vector AS b
				  FROM generate_series(1, 200) i) s;
	END LOOP;
END
$$ LANGUAGE plpgsql;
SELECT DISTINCT d FROM distances_at_all_levels() d;
DROP FUNCTION distances_at_all_levels();

-- a level of another CPU: neon and avx2 exclude each other
SET descartes.simd = auto;
DO $$
DECLARE
	level text;
	hint text;
BEGIN
	FOREACH level IN ARRAY ARRAY['neon', 'avx2', 'avx512'] LOOP
		BEGIN
			PERFORM set_config('descartes.simd', level, false);
			IF NOT level = ANY ((SELECT available FROM descartes_simd_info())::text[]) THEN
				RAISE WARNING 'level % was accepted', level;
			END IF;
		EXCEPTION WHEN feature_not_supported THEN
			GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
			IF hint NOT LIKE 'Available values: auto, scalar%' OR
				level = ANY ((SELECT available FROM descartes_simd_info())::text[]) THEN
				RAISE WARNING 'level %: %', level, hint;
			END IF;
		END;
	END LOOP;
END
$$;
SET descartes.simd = sse;
SELECT count(*) >= 1 AS refused FROM unnest(ARRAY['neon', 'avx2']) level
WHERE NOT level = ANY ((SELECT available FROM descartes_simd_info())::text[]);
RESET descartes.simd;

-- settings with our prefix that do not exist are refused (from 15 on)
DO $$
BEGIN
	PERFORM set_config('descartes.no_such_setting', '1', false);
	IF current_setting('server_version_num')::int >= 150000 THEN
		RAISE WARNING 'the prefix is not reserved';
	END IF;
EXCEPTION WHEN invalid_name THEN
	NULL;
END
$$;

-- no function of ours may be called by pgvector's name in another library:
-- all C symbols have a prefix of their own
SELECT p.oid::regprocedure, prosrc
FROM pg_proc p
JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'descartes'
WHERE p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
AND prosrc !~ '^(descartes|fng)_';

-- what core's own regression tests demand of functions and operators
SELECT p.oid::regprocedure FROM pg_proc p
JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'descartes'
WHERE obj_description(p.oid, 'pg_proc') IS NULL AND prorettype <> 'internal'::regtype
AND prorettype <> 'index_am_handler'::regtype
ORDER BY 1;

SELECT o.oid::regoperator FROM pg_operator o
JOIN pg_depend d ON d.objid = o.oid AND d.classid = 'pg_operator'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'descartes'
WHERE o.oprcode = 0 OR obj_description(o.oid, 'pg_operator') IS NULL
ORDER BY 1;

SELECT opcname, amname FROM pg_opclass c
JOIN pg_am a ON a.oid = opcmethod
JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_opclass'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'descartes'
WHERE NOT amvalidate(c.oid);
