-- name: list_builds
-- Every build of every projection, how many events the log has, and how long the next event has waited for the build.
SELECT
    projection.name,
    projection.build,
    projection.version,
    projection.schema_name,
    projection.live,
    projection.state,
    projection.paused,
    projection.position,
    projection.definition,
    projection.code_digest,
    projection.failed_position,
    projection.failed_event_id,
    projection.failure,
    projection.created_at,
    projection.switched_at,
    projection.attested_at,
    log_state.size,
    EXISTS (SELECT FROM audit_trail.own_projection WHERE own_projection.name = projection.name) AS custom,
    clock_timestamp() - projection.updated_at AS rested,
    clock_timestamp() - (
        SELECT event.recorded_at FROM audit_trail.event
        WHERE event.position = projection.position + 1
    ) AS waiting
FROM audit_trail.projection
CROSS JOIN audit_trail.log_state
ORDER BY projection.name ASC, projection.build ASC;

-- name: open_snapshot
-- The checkpoint of each live projection. Their schemas become the search path, so that queries name tables alone. What
-- analysts own is read by its full name, and neither hides a name here nor holds an answer back.
SELECT
    name,
    position,
    set_config('search_path', string_agg(quote_ident(schema_name), ', ') OVER (), true)
FROM audit_trail.projection
WHERE live AND NOT EXISTS (SELECT FROM audit_trail.own_projection WHERE own_projection.name = projection.name);

-- name: live_schemas
-- In which schema the tables of each live projection are that no analyst owns.
SELECT
    name,
    schema_name
FROM audit_trail.projection
WHERE live AND NOT EXISTS (SELECT FROM audit_trail.own_projection WHERE own_projection.name = projection.name);

-- name: lock_builder
-- A row of its own for each projection, which it makes when there is none.
INSERT INTO audit_trail.projection_lock (name) VALUES (%(name)s)
ON CONFLICT (name) DO UPDATE SET name = excluded.name;

-- name: other_tables
-- Tables of these names in the schemas of other projections. Tables of custom projections never stand in the way of
-- a built-in projection, whose tables are found first.
SELECT pg_class.relname
FROM audit_trail.projection
INNER JOIN pg_namespace ON projection.schema_name = pg_namespace.nspname
INNER JOIN pg_class ON pg_namespace.oid = pg_class.relnamespace
WHERE
    projection.name <> %(name)s
    AND pg_class.relkind = 'r'
    AND pg_class.relname = ANY(%(tables)s)
    AND (
        %(custom)s
        OR NOT EXISTS (SELECT FROM audit_trail.own_projection WHERE own_projection.name = projection.name)
    )
ORDER BY pg_class.relname
LIMIT 1;

-- name: next_number
-- One that no build of the projection has had, dropped ones included.
SELECT coalesce(max(last), 0) + 1 FROM audit_trail.projection_number
WHERE name = %(name)s;

-- name: register
INSERT INTO audit_trail.projection
(name, build, version, schema_name, live, state, definition, code_digest, switched_at)
VALUES (
    %(name)s, %(build)s, %(version)s, %(schema)s, %(live)s, %(state)s, %(definition)s, %(code_digest)s,
    CASE WHEN %(live)s THEN clock_timestamp() END
);

-- name: adopt
-- A build of before digests were kept takes those of the first program that has its version.
UPDATE audit_trail.projection
SET
    definition = %(definition)s,
    code_digest = %(code_digest)s
WHERE name = %(name)s AND build = %(build)s AND definition = '';

-- name: advance
-- Compare-and-set of the checkpoint, in the transaction of the rows. Its row lock makes a second writer wait and then
-- find that it has come too late, or that the build was paused, emptied or replaced meanwhile.
UPDATE audit_trail.projection
SET
    position = %(position)s,
    updated_at = clock_timestamp(),
    failed_position = NULL,
    failed_event_id = NULL,
    failure = NULL
WHERE name = %(name)s AND build = %(build)s AND position = %(expected)s AND live = %(live)s AND NOT paused;

-- name: fail
UPDATE audit_trail.projection
SET
    updated_at = clock_timestamp(),
    failed_position = %(failed_position)s,
    failed_event_id = %(event_id)s,
    failure = %(failure)s
WHERE name = %(name)s AND build = %(build)s AND position < %(failed_position)s;

-- name: list_skips
SELECT
    name,
    position
FROM audit_trail.projection_skip
WHERE applied AND name = ANY(%(names)s);

-- name: bounded
SET LOCAL lock_timeout = '10s';
