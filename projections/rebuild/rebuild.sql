-- name: plan
-- Ranges of the positions from the last one planned to the log's end.
INSERT INTO audit_trail.projection_range (name, build, first, last)
SELECT
    %(name)s,
    %(build)s,
    first,
    least(first + %(width)s, %(size)s) - 1
FROM generate_series(
    (
        SELECT coalesce(max(planned.last) + 1, 0)
        FROM audit_trail.projection_range AS planned
        WHERE planned.name = %(name)s AND planned.build = %(build)s
    ),
    %(size)s - 1,
    %(width)s
) AS first;

-- name: ranges
SELECT
    name,
    build,
    first,
    last,
    done
FROM audit_trail.projection_range
WHERE name = %(name)s AND build = %(build)s
ORDER BY first;

-- name: finish_range
-- In the transaction of the range's rows, and before them: whoever comes second waits here, and then finds it done.
UPDATE audit_trail.projection_range
SET done = true
WHERE name = %(name)s AND build = %(build)s AND first = %(first)s AND NOT done;

-- name: is_done
SELECT EXISTS (
    SELECT FROM audit_trail.projection_range
    WHERE name = %(name)s AND build = %(build)s AND first = %(first)s AND done
);

-- name: fail_load
UPDATE audit_trail.projection
SET
    updated_at = clock_timestamp(),
    failed_position = %(failed_position)s,
    failed_event_id = %(event_id)s,
    failure = %(failure)s
WHERE name = %(name)s AND build = %(build)s;

-- name: fail_finish
-- No one event is at fault, so there is none that could be skipped.
UPDATE audit_trail.projection
SET
    updated_at = clock_timestamp(),
    failure = %(failure)s
WHERE name = %(name)s AND build = %(build)s;

-- name: forget_failure
UPDATE audit_trail.projection
SET
    failed_position = NULL,
    failed_event_id = NULL,
    failure = NULL
WHERE name = %(name)s AND build = %(build)s;

-- name: loaded
-- All that was planned is in; from here on nothing more is planned.
WITH loaded AS (
    SELECT
        coalesce(max(last), -1) AS position,
        coalesce(bool_and(done), true) AS complete
    FROM audit_trail.projection_range
    WHERE name = %(name)s AND build = %(build)s
)

UPDATE audit_trail.projection
SET
    state = 'indexing',
    position = loaded.position,
    updated_at = clock_timestamp()
FROM loaded
WHERE projection.name = %(name)s AND projection.build = %(build)s AND projection.state = 'loading' AND loaded.complete;

-- name: indexed
UPDATE audit_trail.projection
SET
    state = 'ready',
    updated_at = clock_timestamp()
WHERE name = %(name)s AND build = %(build)s AND state = 'indexing';

-- name: forget_ranges
DELETE FROM audit_trail.projection_range
WHERE name = %(name)s AND build = %(build)s;

-- name: scratch
UPDATE audit_trail.projection
SET state = 'scratch'
WHERE name = %(name)s AND build = %(build)s;

-- name: find_attestation
SELECT attestation
FROM audit_trail.projection
WHERE name = %(name)s AND build = %(build)s;

-- name: keep_attestation
UPDATE audit_trail.projection
SET attestation = %(attestation)s
WHERE name = %(name)s AND build = %(build)s AND attestation IS NULL;

-- name: attested
UPDATE audit_trail.projection
SET attested_at = clock_timestamp()
WHERE name = %(name)s AND build = %(build)s AND attested_at IS NULL;
