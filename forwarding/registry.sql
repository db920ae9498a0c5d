-- name: all
SELECT
    follower.*,
    EXISTS (
        SELECT FROM audit_trail.follower_change AS change
        WHERE change.follower = follower.name AND change.published_at IS NULL
    ) AS unpublished
FROM audit_trail.follower
WHERE %(name)s::text IS NULL OR follower.name = %(name)s
ORDER BY follower.name;

-- name: locked
SELECT * FROM audit_trail.follower WHERE name = %(name)s FOR UPDATE;

-- name: size
SELECT size FROM audit_trail.log_state;

-- name: waiting_since
-- Of each follower, when the first event after its checkpoint was recorded: how long the oldest one waits.
SELECT
    follower.name,
    greatest(0, state.size - 1 - follower.position),
    extract(EPOCH FROM clock_timestamp() - next.recorded_at)::double precision
FROM audit_trail.follower
CROSS JOIN audit_trail.log_state AS state
LEFT JOIN audit_trail.event AS next ON follower.position + 1 = next.position
WHERE follower.removed_at IS NULL;

-- name: add
INSERT INTO audit_trail.follower (name, configuration, destination, start_from, first_position, position)
SELECT
    %(name)s,
    %(configuration)s::jsonb,
    %(destination)s,
    %(start)s,
    chosen.first,
    chosen.first - 1
FROM (
    SELECT CASE WHEN %(start)s = 'now' THEN state.size ELSE 0 END AS first
    FROM audit_trail.log_state AS state
) AS chosen;

-- name: configure
UPDATE audit_trail.follower
SET
    configuration = %(configuration)s::jsonb,
    destination = %(destination)s,
    removed_at = NULL,
    problem = '',
    problem_since = NULL,
    failed_position = NULL,
    changed_at = clock_timestamp()
WHERE name = %(name)s;

-- name: remove
UPDATE audit_trail.follower
SET removed_at = clock_timestamp(), changed_at = clock_timestamp()
WHERE name <> ALL(%(names)s) AND removed_at IS NULL
RETURNING name;

-- name: pause
UPDATE audit_trail.follower SET paused_at = clock_timestamp(), changed_at = clock_timestamp()
WHERE name = %(name)s AND paused_at IS NULL;

-- name: resume
UPDATE audit_trail.follower SET paused_at = NULL, changed_at = clock_timestamp()
WHERE name = %(name)s AND paused_at IS NOT NULL;

-- name: skip
-- The next record names the skipped one as the record before it, so the receiver sees that one is missing.
UPDATE audit_trail.follower
SET
    position = %(position)s,
    sent_position = %(position)s,
    problem = '',
    problem_since = NULL,
    failed_position = NULL,
    changed_at = clock_timestamp()
WHERE name = %(name)s AND failed_position = %(position)s;

-- name: decide
INSERT INTO audit_trail.follower_change (follower, operation, decided_by, reason, details)
VALUES (%(follower)s, %(operation)s, %(by)s, %(reason)s, %(details)s::jsonb);

-- name: unpublished
SELECT * FROM audit_trail.follower_change
WHERE published_at IS NULL AND (%(follower)s::text IS NULL OR follower = %(follower)s)
ORDER BY id
LIMIT 100;

-- name: published
UPDATE audit_trail.follower_change SET published_at = clock_timestamp() WHERE id = %(id)s AND published_at IS NULL;

-- name: advance
-- Only from the position that the records were read after: an operator may have skipped one meanwhile.
UPDATE audit_trail.follower
SET
    position = %(position)s,
    sent_position = coalesce(%(sent_position)s, sent_position),
    sent = sent + %(sent)s,
    sent_at = CASE WHEN %(sent)s > 0 THEN clock_timestamp() ELSE sent_at END,
    problem = CASE WHEN %(sent)s > 0 THEN '' ELSE problem END,
    problem_since = CASE WHEN %(sent)s = 0 THEN problem_since END,
    failed_position = CASE WHEN %(sent)s = 0 AND failed_position > %(position)s THEN failed_position END
WHERE name = %(name)s AND position = %(expected)s
RETURNING paused_at IS NOT NULL;

-- name: fail
UPDATE audit_trail.follower
SET
    problem = %(problem)s,
    problem_since = CASE WHEN %(problem)s <> '' THEN coalesce(problem_since, clock_timestamp()) END,
    failed_position = %(failed_position)s
WHERE
    name = %(name)s
    AND position = %(expected)s
    AND (problem, failed_position) IS DISTINCT FROM (%(problem)s, %(failed_position)s);
