-- What tables are like: one row for each part, which is the same text wherever it is the
-- same. A column also has its place in its table.
WITH spaces AS (
  SELECT oid FROM pg_namespace
   WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'deadheat_snapshot')
), relations AS (
  SELECT c.oid, c.relkind, c.oid::regclass::text AS name FROM pg_class c
   WHERE c.relnamespace IN (SELECT oid FROM spaces) AND c.relpersistence <> 't'
)
SELECT 'column ' || r.name || '.' || quote_ident(a.attname) || ' '
         || format_type(a.atttypid, a.atttypmod)
         || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
         || CASE a.attidentity WHEN '' THEN '' ELSE ' IDENTITY' END
         || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS part,
       a.attnum::int AS place
  FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT CASE r.relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || r.name, 0
  FROM relations r WHERE r.relkind IN ('r', 'p', 'S')
UNION ALL
SELECT 'view ' || r.name || ': ' || pg_get_viewdef(r.oid), 0
  FROM relations r WHERE r.relkind IN ('v', 'm')
UNION ALL
SELECT 'index ' || pg_get_indexdef(i.indexrelid)
         || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END, 0
  FROM relations r JOIN pg_index i ON i.indrelid = r.oid
UNION ALL
SELECT 'constraint ' || quote_ident(k.conname) || ' of ' || r.name || ': '
         || pg_get_constraintdef(k.oid), 0
  FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
UNION ALL
SELECT 'trigger ' || pg_get_triggerdef(t.oid), 0
  FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
 WHERE NOT t.tgisinternal
UNION ALL
SELECT 'type ' || t.oid::regtype::text || ': ' || string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder), 0
  FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
 WHERE t.typnamespace IN (SELECT oid FROM spaces) GROUP BY t.oid
UNION ALL
SELECT 'function ' || p.oid::regprocedure::text || ' ' || md5(coalesce(p.prosrc, '')), 0
  FROM pg_proc p WHERE p.pronamespace IN (SELECT oid FROM spaces)
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
