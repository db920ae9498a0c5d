-- name: page
-- The targets of the watcher's file, by name.
SELECT
    name,
    service,
    owner,
    kind AS "check",
    interval_seconds,
    state,
    since,
    checked_at,
    error,
    reason,
    failing_since,
    failures
FROM audit_trail.watch_target
WHERE watched AND name > %(after)s
ORDER BY name ASC
LIMIT %(limit)s;

-- name: looked_until
SELECT looked_until FROM audit_trail.watch_state;
