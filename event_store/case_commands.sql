-- name: writing
-- A reader's sessions read by default, and from one snapshot.
SET LOCAL transaction_read_only = off;
SET LOCAL transaction_isolation = 'read committed';

-- name: submit
SELECT audit_trail.submit_case_command(
    %(id)s, %(target)s, %(kind)s, %(body)s::jsonb, %(by_kind)s, %(by_id)s, %(by_name)s, %(by_roles)s, %(by_actors)s,
    %(session)s
);

-- name: announce
-- A notification need not wait for the disk, nor for other sessions that notify.
SET LOCAL synchronous_commit = off;
SET LOCAL lock_timeout = '100ms';
SELECT pg_notify(%(channel)s, '');

-- name: outcome
SELECT outcome, error, field, position FROM audit_trail.case_command
WHERE id = %(id)s AND outcome IS NOT NULL;

-- name: own
-- A command of one person, and its end.
SELECT
    target,
    kind,
    requested_at,
    outcome,
    error,
    field,
    position
FROM audit_trail.case_command
WHERE id = %(id)s AND requester_id = %(by)s;

-- name: open
-- The oldest commands that wait.
SELECT
    id,
    target,
    kind,
    body::text AS body,
    requester_kind,
    requester_id,
    requester_name,
    requester_roles,
    requester_actors,
    session,
    requested_at
FROM audit_trail.case_command
WHERE outcome IS NULL
ORDER BY number
LIMIT %(limit)s;

-- name: complete
UPDATE audit_trail.case_command
SET
    outcome = %(outcome)s,
    error = %(error)s,
    field = %(field)s,
    position = %(position)s,
    completed_at = date_trunc('milliseconds', clock_timestamp())
WHERE id = %(id)s AND outcome IS NULL;
