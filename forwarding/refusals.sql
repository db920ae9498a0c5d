-- name: keep
-- The checkpoint passes the record in the same transaction; the next one names it, so the receiver sees the gap.
WITH kept AS (
    INSERT INTO audit_trail.follower_refusal (follower, position, reason)
    SELECT
        %(name)s,
        %(position)s,
        %(reason)s
    WHERE (
        SELECT count(*) FROM audit_trail.follower_refusal WHERE follower = %(name)s AND outcome IS NULL
    ) < %(most)s
    RETURNING position
)

UPDATE audit_trail.follower
SET
    position = kept.position,
    sent_position = kept.position,
    problem = '',
    problem_since = NULL,
    failed_position = NULL
FROM kept
WHERE follower.name = %(name)s AND follower.position = %(expected)s;

-- name: locked_follower
SELECT position FROM audit_trail.follower WHERE name = %(name)s FOR UPDATE;

-- name: open
SELECT * FROM audit_trail.follower_refusal
WHERE outcome IS NULL AND (%(name)s::text IS NULL OR follower = %(name)s)
ORDER BY follower, position
LIMIT %(limit)s;

-- name: counts
SELECT
    follower,
    count(*)
FROM audit_trail.follower_refusal
WHERE outcome IS NULL
GROUP BY follower;

-- name: next_requeued
SELECT position FROM audit_trail.follower_refusal
WHERE follower = %(name)s AND outcome IS NULL AND requeued_at IS NOT NULL
ORDER BY position
LIMIT 1;

-- name: requeue
UPDATE audit_trail.follower_refusal
SET requeued_at = clock_timestamp()
WHERE follower = %(name)s AND position = %(position)s AND outcome IS NULL AND requeued_at IS NULL
RETURNING reason;

-- name: dismiss
UPDATE audit_trail.follower_refusal
SET outcome = 'dismissed', requeued_at = NULL, ended_at = clock_timestamp()
WHERE follower = %(name)s AND position = %(position)s AND outcome IS NULL
RETURNING reason;

-- name: decided
UPDATE audit_trail.follower SET changed_at = clock_timestamp() WHERE name = %(name)s;

-- name: refused_again
UPDATE audit_trail.follower_refusal
SET
    reason = %(reason)s,
    refused_at = clock_timestamp(),
    attempts = attempts + 1,
    requeued_at = NULL
WHERE follower = %(name)s AND position = %(position)s AND outcome IS NULL;

-- name: sent
WITH ended AS (
    UPDATE audit_trail.follower_refusal
    SET outcome = 'sent', requeued_at = NULL, ended_at = clock_timestamp()
    WHERE follower = %(name)s AND position = %(position)s AND outcome IS NULL
    RETURNING follower
)

UPDATE audit_trail.follower
SET sent = sent + 1, sent_at = clock_timestamp()
FROM ended
WHERE follower.name = ended.follower;
