-- name: pause
UPDATE audit_trail.projection
SET paused = %(paused)s
WHERE name = %(name)s AND live;

-- name: retry
UPDATE audit_trail.projection
SET
    failed_position = NULL,
    failed_event_id = NULL,
    failure = NULL
WHERE name = %(name)s AND failed_position IS NOT NULL;

-- name: failed_at
-- The builds of a projection that one event stops.
SELECT
    failed_event_id,
    failure
FROM audit_trail.projection
WHERE name = %(name)s AND failed_position = %(position)s
ORDER BY live DESC
LIMIT 1;

-- name: find_skip
SELECT
    name,
    position,
    event_id,
    failure,
    reason,
    decided_by,
    decided_at,
    applied
FROM audit_trail.projection_skip
WHERE name = %(name)s AND position = %(position)s;

-- name: decide
INSERT INTO audit_trail.projection_skip (name, position, event_id, failure, reason, decided_by)
VALUES (%(name)s, %(position)s, %(event_id)s, %(failure)s, %(reason)s, %(by)s)
ON CONFLICT (name, position) DO NOTHING;

-- name: apply_skip
UPDATE audit_trail.projection_skip
SET applied = true
WHERE name = %(name)s AND position = %(position)s;

-- name: pass_skipped
-- A build that stands at the event goes past it; one that is still loading leaves it out when it goes on.
UPDATE audit_trail.projection
SET
    position = CASE WHEN state = 'ready' THEN greatest(position, failed_position) ELSE position END,
    updated_at = clock_timestamp(),
    failed_position = NULL,
    failed_event_id = NULL,
    failure = NULL
WHERE name = %(name)s AND failed_position = %(position)s;

-- name: lock_builds
SELECT
    build,
    position,
    live
FROM audit_trail.projection
WHERE name = %(name)s
ORDER BY build
FOR UPDATE;

-- name: retire
-- A pause is of the projection, so it goes with the live build.
UPDATE audit_trail.projection
SET
    live = false,
    paused = false
WHERE name = %(name)s AND live
RETURNING (SELECT held.paused FROM audit_trail.projection AS held WHERE held.name = %(name)s AND held.live);

-- name: make_live
UPDATE audit_trail.projection
SET
    live = true,
    paused = %(paused)s,
    switched_at = clock_timestamp()
WHERE name = %(name)s AND build = %(build)s AND state = 'ready';
