-- name: find_live
-- The live build of a projection.
SELECT
    projection.version,
    projection.schema_name,
    projection.position,
    EXISTS (SELECT FROM audit_trail.own_projection WHERE own_projection.name = projection.name) AS custom
FROM audit_trail.projection
WHERE projection.name = %(name)s AND projection.live;

-- name: find_columns
-- The tables of a schema: columns in declared order, and each one's place in the primary key.
SELECT
    pg_class.relname,
    pg_attribute.attname,
    format_type(pg_attribute.atttypid, NULL) AS type,
    NOT pg_attribute.attnotnull AS nullable,
    array_position(pg_index.indkey::int2 [], pg_attribute.attnum) AS place
FROM pg_catalog.pg_namespace
INNER JOIN pg_catalog.pg_class ON pg_namespace.oid = pg_class.relnamespace
INNER JOIN pg_catalog.pg_attribute ON pg_class.oid = pg_attribute.attrelid
INNER JOIN pg_catalog.pg_index ON pg_class.oid = pg_index.indrelid AND pg_index.indisprimary
WHERE
    pg_namespace.nspname = %(schema)s
    -- A table of a custom projection is read only when nobody but Audit Trail can have put code into it.
    AND pg_class.relkind = 'r'
    AND NOT pg_class.relrowsecurity
    AND (NOT %(custom)s OR pg_class.relowner = to_regrole('audit_trail_custom_owner'))
    AND pg_attribute.attnum > 0
    AND NOT pg_attribute.attisdropped
ORDER BY pg_class.relname ASC, pg_attribute.attnum ASC;
