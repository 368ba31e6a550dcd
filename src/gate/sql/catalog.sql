WITH user_tables AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relrowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
     AND n.nspname NOT LIKE 'pg\_%'
     AND n.nspname NOT IN ('information_schema', 'deadheat_snapshot')
)
SELECT 'table' AS kind, jsonb_build_object(
  'schema', u.nspname,
  'name', u.relname,
  'relkind', u.relkind,
  -- The table that a partition or an heir belongs to in the end.
  'root', (
    WITH RECURSIVE up AS (
      SELECT i.inhparent, 1 AS height FROM pg_inherits i WHERE i.inhrelid = u.oid
      UNION
      SELECT i.inhparent, up.height + 1 FROM pg_inherits i JOIN up ON i.inhrelid = up.inhparent
    )
    SELECT jsonb_build_array(n.nspname, c.relname)
      FROM up JOIN pg_class c ON c.oid = up.inhparent
      JOIN pg_namespace n ON n.oid = c.relnamespace
     ORDER BY up.height DESC, c.oid LIMIT 1),
  'columns', (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'name', a.attname,
        -- Generated columns change with others; some collations call
        -- different texts equal.
        'type', CASE
          WHEN a.attgenerated <> '' THEN 'generated'
          WHEN NOT coalesce(l.collisdeterministic, true) THEN 'loose'
          WHEN coalesce(b.typtype, t.typtype) = 'e' THEN 'enum'
          WHEN b.oid IS NOT NULL THEN format_type(b.oid, t.typtypmod)
          ELSE format_type(t.oid, a.atttypmod) END,
        'identity', a.attidentity <> '',
        'default', CASE WHEN a.attgenerated = ''
          THEN coalesce(pg_get_expr(d.adbin, d.adrelid), t.typdefault) END
      ) ORDER BY a.attnum), '[]')
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
      LEFT JOIN pg_collation l ON l.oid = a.attcollation
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = u.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'unique', (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'name', x.relname,
        'columns', CASE WHEN i.indexprs IS NULL AND NOT i.indisexclusion THEN (
            SELECT jsonb_agg(a.attname)
              FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k
              JOIN pg_attribute a ON a.attrelid = u.oid AND a.attnum = k) END,
        'depends', (
          SELECT coalesce(jsonb_agg(DISTINCT a.attname), '[]')
            FROM pg_attribute a
           WHERE a.attrelid = u.oid AND a.attnum > 0 AND (a.attnum = ANY (i.indkey)
             OR EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass
                  AND p.objid = i.indexrelid AND p.refclassid = 'pg_class'::regclass
                  AND p.refobjid = u.oid AND p.refobjsubid = a.attnum))),
        'nulls_collide', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false)
      ) ORDER BY x.oid), '[]')
      FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
     WHERE i.indrelid = u.oid AND (i.indisunique OR i.indisexclusion)),
  'foreign', (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
            FROM unnest(f.conkey) WITH ORDINALITY k (attnum, n)
            JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum),
        'parent', jsonb_build_array(n.nspname, c.relname),
        'parent_columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
            FROM unnest(f.confkey) WITH ORDINALITY k (attnum, n)
            JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum),
        'on_delete', f.confdeltype,
        'on_update', f.confupdtype
      ) ORDER BY f.oid), '[]')
      FROM pg_constraint f JOIN pg_class c ON c.oid = f.confrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE f.conrelid = u.oid AND f.contype = 'f'),
  'triggers', (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'function', p.proname,
        'language', l.lanname,
        'source', p.prosrc,
        'head', split_part(pg_get_triggerdef(g.oid), ' EXECUTE ', 1))), '[]')
      FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
      JOIN pg_language l ON l.oid = p.prolang
     WHERE g.tgrelid = u.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'),
  'rules', EXISTS (
    SELECT FROM pg_rewrite r
     WHERE r.ev_class = u.oid AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D'),
  'definition', CASE WHEN u.relkind = 'v' THEN pg_get_viewdef(u.oid) END,
  'checks', (
    SELECT coalesce(jsonb_agg(pg_get_expr(k.conbin, k.conrelid)), '[]')
      FROM pg_constraint k WHERE k.conrelid = u.oid AND k.contype = 'c'),
  'policies', (
    SELECT coalesce(jsonb_agg(e.sql) FILTER (WHERE e.sql IS NOT NULL), '[]')
      FROM pg_policy p, LATERAL (VALUES
        (pg_get_expr(p.polqual, p.polrelid)),
        (pg_get_expr(p.polwithcheck, p.polrelid))) e (sql)
     WHERE p.polrelid = u.oid AND u.relrowsecurity)
) AS body
FROM user_tables u
UNION ALL
SELECT 'function', jsonb_build_object(
  'name', p.proname,
  'volatile', bool_or(p.provolatile = 'v'))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
  -- Their functions compute, and touch no table.
  AND coalesce(e.extname, '') NOT IN ('uuid-ossp', 'pgcrypto', 'pg_trgm', 'citext', 'hstore',
    'ltree', 'unaccent', 'fuzzystrmatch', 'intarray', 'btree_gin', 'btree_gist', 'cube',
    'earthdistance', 'isn', 'seg', 'postgis', 'vector', 'pg_stat_statements')
GROUP BY p.proname
