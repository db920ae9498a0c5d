-- name: writing
-- A reader's sessions read by default, and from one snapshot.
SET LOCAL transaction_read_only = off;
SET LOCAL transaction_isolation = 'read committed';

-- name: request
SELECT audit_trail.request_operation(
    %(kind)s, %(target)s, %(reason)s, %(by_kind)s, %(by_id)s, %(by_name)s, %(by_roles)s, %(session)s
);

-- name: get
SELECT * FROM audit_trail.operation_request WHERE id = %(id)s;

-- name: newest
SELECT * FROM audit_trail.operation_request
WHERE %(before)s::bigint IS NULL OR id < %(before)s
ORDER BY id DESC
LIMIT %(limit)s;

-- name: about
SELECT * FROM audit_trail.operation_request
WHERE target = %(target)s AND (kind = 'rebuild') = %(rebuild)s
ORDER BY id DESC
LIMIT %(limit)s;

-- name: workers
SELECT
    part,
    host,
    seen_at,
    clock_timestamp() - seen_at AS unseen
FROM audit_trail.operation_worker;

-- name: take_up
-- Nobody else works for this part: what is running was left by a process that has ended.
UPDATE audit_trail.operation_request SET state = 'requested', progress = 'the process that worked on it has ended'
WHERE state = 'running' AND kind = ANY(%(kinds)s);

-- name: next
SELECT * FROM audit_trail.operation_request
WHERE state = 'requested' AND kind = ANY(%(kinds)s)
ORDER BY id
LIMIT 1;

-- name: start
UPDATE audit_trail.operation_request
SET state = 'running', attempts = attempts + 1, progress = '', started_at = coalesce(started_at, clock_timestamp())
WHERE id = %(id)s AND state = 'requested'
RETURNING *;

-- name: progress
UPDATE audit_trail.operation_request SET progress = %(progress)s WHERE id = %(id)s AND state = 'running';

-- name: wait
UPDATE audit_trail.operation_request SET state = 'requested', progress = %(progress)s
WHERE id = %(id)s AND state = 'running';

-- name: finish
UPDATE audit_trail.operation_request
SET
    state = %(state)s,
    result = %(result)s,
    progress = '',
    finished_at = date_trunc('milliseconds', clock_timestamp())
WHERE id = %(id)s AND finished_at IS NULL;

-- name: unpublished
SELECT * FROM audit_trail.operation_request
WHERE published_at IS NULL AND finished_at IS NOT NULL AND kind = ANY(%(kinds)s)
ORDER BY id
LIMIT 20;

-- name: published
UPDATE audit_trail.operation_request SET published_at = clock_timestamp() WHERE id = %(id)s AND published_at IS NULL;
