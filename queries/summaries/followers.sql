-- name: followers
-- Each follower with how far it is behind, and how long ago the process that forwards was last seen.
SELECT
    follower.name,
    follower.destination,
    follower.position,
    greatest(0, state.size - 1 - follower.position) AS lag,
    extract(EPOCH FROM clock_timestamp() - next.recorded_at)::double precision AS lag_seconds,
    follower.sent,
    follower.sent_position,
    follower.sent_at,
    follower.problem,
    follower.problem_since,
    follower.failed_position,
    follower.paused_at IS NOT NULL AS paused,
    follower.removed_at IS NOT NULL AS removed,
    EXISTS (
        SELECT FROM audit_trail.follower_change AS change
        WHERE change.follower = follower.name AND change.published_at IS NULL
    ) AS unpublished,
    coalesce((
        SELECT worker.seen_at < clock_timestamp() - interval '30 seconds'
        FROM audit_trail.operation_worker AS worker
        WHERE worker.part = 'forward'
    ), TRUE) AS unattended
FROM audit_trail.follower
CROSS JOIN audit_trail.log_state AS state
LEFT JOIN audit_trail.event AS next ON follower.position + 1 = next.position
ORDER BY follower.name;
