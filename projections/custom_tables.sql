-- name: make_schema
SELECT audit_trail.make_own_schema(%(name)s, %(schema)s);

-- name: make_tables
SELECT audit_trail.make_custom_tables(%(name)s, %(schema)s, %(tables)s, %(loading)s);

-- name: index_table
SELECT audit_trail.index_custom_table(%(name)s, %(schema)s, %(table)s, %(number)s);

-- name: finish_table
SELECT audit_trail.finish_custom_table(%(name)s, %(schema)s, %(table)s);

-- name: drop_partial
SELECT audit_trail.drop_custom_partial(%(name)s, %(schema)s, %(table)s);

-- name: stage_table
SELECT audit_trail.stage_custom_table(%(name)s, %(schema)s, %(table)s);

-- name: drop_schema
SELECT audit_trail.drop_custom_schema(%(name)s, %(schema)s);

-- name: delete_build
SELECT audit_trail.delete_custom_build(%(name)s, %(build)s);

-- name: forget_ranges
SELECT audit_trail.forget_custom_ranges(%(name)s, %(build)s);
