-- name: list_versions
-- Every version of every projection, and how many events the log has.
SELECT
    projection.name,
    projection.version,
    projection.live,
    projection.position,
    projection.failed_position,
    projection.failed_event_id,
    projection.failure,
    log_state.size
FROM audit_trail.projection
CROSS JOIN audit_trail.log_state
ORDER BY projection.name ASC, projection.version ASC;

-- name: open_snapshot
-- The live versions' schemas become the search path, so that queries name tables alone. And only plans that follow an
-- index in its order are wanted: they stop at the page's end, whatever the statistics of a young table say.
SELECT
    set_config('search_path', coalesce(string_agg(quote_ident(schema_name), ', '), 'pg_catalog'), true),
    set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('enable_hashagg', 'off', true),
    set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true),
    set_config('jit', 'off', true)
FROM audit_trail.projection
WHERE live;
SELECT
    name,
    position
FROM audit_trail.projection
WHERE live;

-- name: lock_registry
SELECT pg_advisory_xact_lock(7021799);

-- name: find_version
SELECT position
FROM audit_trail.projection
WHERE name = %(name)s AND version = %(version)s;

-- name: register
-- The first version of a projection is live at once; a later one waits until it is switched to.
INSERT INTO audit_trail.projection (name, version, schema_name, live)
SELECT
    %(name)s,
    %(version)s,
    %(schema)s,
    NOT EXISTS (SELECT FROM audit_trail.projection WHERE name = %(name)s AND live);

-- name: advance
-- Compare-and-set of the checkpoint, in the transaction of the rows. Its row lock makes a second runner wait and then
-- find that it has come too late.
UPDATE audit_trail.projection
SET
    position = %(position)s,
    updated_at = clock_timestamp(),
    failed_position = NULL,
    failed_event_id = NULL,
    failure = NULL
WHERE name = %(name)s AND version = %(version)s AND position = %(expected)s;

-- name: fail
UPDATE audit_trail.projection
SET
    updated_at = clock_timestamp(),
    failed_position = %(failed_position)s,
    failed_event_id = %(event_id)s,
    failure = %(failure)s
WHERE name = %(name)s AND version = %(version)s AND position < %(failed_position)s;
