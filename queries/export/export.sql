-- name: log_state
SELECT
    size,
    encode(root, 'hex') AS root_hash
FROM audit_trail.log_state;

-- name: list_tables
-- The tables of all live projections, also of custom ones.
SELECT pg_class.relname
FROM audit_trail.projection
INNER JOIN pg_catalog.pg_namespace ON projection.schema_name = pg_namespace.nspname
INNER JOIN pg_catalog.pg_class ON pg_namespace.oid = pg_class.relnamespace
WHERE projection.live AND pg_class.relkind = 'r'
ORDER BY pg_class.relname ASC;

-- name: describe_table
-- The columns in declared order, and the place of each in the primary key. They come from the database, so that a table
-- can be exported without the code of its projection. A built-in table wins over a custom one of the same name.
WITH found AS (
    SELECT
        projection.name,
        projection.version,
        projection.schema_name,
        projection.position,
        pg_attribute.attname,
        format_type(pg_attribute.atttypid, NULL) AS type,
        array_position(pg_index.indkey::int2 [], pg_attribute.attnum) AS place,
        pg_attribute.attnum,
        own.name IS NOT NULL AS own,
        bool_and(own.name IS NOT NULL) OVER () AS only_own
    FROM audit_trail.projection
    LEFT JOIN audit_trail.own_projection AS own ON projection.name = own.name
    INNER JOIN pg_catalog.pg_namespace ON projection.schema_name = pg_namespace.nspname
    INNER JOIN pg_catalog.pg_class ON pg_namespace.oid = pg_class.relnamespace
    INNER JOIN pg_catalog.pg_attribute ON pg_class.oid = pg_attribute.attrelid
    INNER JOIN pg_catalog.pg_index ON pg_class.oid = pg_index.indrelid AND pg_index.indisprimary
    WHERE
        projection.live
        AND pg_class.relkind = 'r'
        AND pg_class.relname = %(table)s
        -- Nobody but Audit Trail can have put code into these; see pages.sql of live_tables.
        AND NOT pg_class.relrowsecurity
        AND (own.name IS NULL OR pg_class.relowner = to_regrole('audit_trail_custom_owner'))
        AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped
)

SELECT
    name,
    version,
    schema_name,
    own,
    position,
    attname,
    type,
    place
FROM found
WHERE only_own OR NOT own
ORDER BY name ASC, attnum ASC;

-- name: body_sizes
-- The sizes of the bodies at these positions, without reading the bodies.
SELECT
    position,
    octet_length(body) AS bytes
FROM audit_trail.event
WHERE position = ANY(%(positions)s)
ORDER BY position ASC;
