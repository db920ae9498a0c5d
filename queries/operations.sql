-- name: builds
-- Of each live build: when it went live, and the event about its rebuild.
SELECT
    name,
    switched_at,
    attestation
FROM audit_trail.projection
WHERE live;

-- name: sources
-- The services that reported last, by the sources' clocks, and when the newest event of each was recorded.
SELECT
    newest.service,
    newest.last_at,
    event.recorded_at
FROM (
    SELECT service, last_at FROM service_summary
    ORDER BY last_at DESC
    LIMIT %(limit)s
) AS newest
LEFT JOIN LATERAL (
    SELECT max(activity.position) AS position FROM activity
    WHERE
        activity.source = newest.service
        AND activity.span = (SELECT max(last.span) FROM activity AS last WHERE last.source = newest.service)
) AS heard ON TRUE
LEFT JOIN audit_trail.event ON heard.position = event.position
ORDER BY newest.last_at DESC;

-- name: failing
-- The services whose newest state is that a health check failed, the newest first.
SELECT
    summary.service,
    state.occurred_at,
    state.instance
FROM service_summary AS summary
CROSS JOIN LATERAL (
    SELECT latest.state, latest.occurred_at, latest.instance FROM service_state AS latest
    WHERE latest.service = summary.service
    ORDER BY latest.occurred_at DESC, latest.position DESC
    LIMIT 1
) AS state
WHERE summary.health_failures > 0 AND state.state = 'failing'
ORDER BY state.occurred_at DESC
LIMIT %(limit)s;

-- name: places
-- Where the guard publishes signed heads.
SELECT
    place,
    size,
    published_at,
    problem,
    problem_since,
    checked_at
FROM audit_trail.head_place
ORDER BY place ASC;

-- name: cosignatures
-- The newest cosignature of each witness.
SELECT DISTINCT ON (vkey)
    vkey,
    size,
    received_at
FROM (
    SELECT cosignature.vkey, cosignature.size, cosignature.received_at FROM audit_trail.cosignature
    ORDER BY cosignature.size DESC
    LIMIT 1000
) AS newest
ORDER BY vkey ASC, size DESC;

-- name: verification
-- How far the guard has verified the log.
SELECT
    size,
    verified_at,
    all_size,
    all_verified_at,
    problem,
    problem_since,
    checked_at,
    due_at
FROM audit_trail.log_verification;

-- name: findings
-- The open findings of the guard: how many there are, and the oldest one, facts before claims.
SELECT
    count(*) OVER (),
    what,
    place,
    certainty = 'fact',
    first_seen
FROM audit_trail.integrity_finding
WHERE closed_at IS NULL
ORDER BY certainty = 'fact' DESC, id ASC
LIMIT 1;

-- name: last_recorded
-- When the newest event was recorded.
SELECT recorded_at
FROM audit_trail.event
WHERE position = (SELECT state.size - 1 FROM audit_trail.log_state AS state);

-- name: letter_counts
-- How many dead letters there are, of the last day and in all, each counted up to a limit: in a flood, a page must not
-- count millions of rows.
SELECT
    (
        SELECT count(*) FROM (
            SELECT letter.received_at FROM audit_trail.dead_letter AS letter
            ORDER BY letter.id DESC
            LIMIT %(limit)s
        ) AS newest
        WHERE newest.received_at > clock_timestamp() - interval '24 hours'
    ),
    (
        SELECT count(*) FROM (
            SELECT letter.id FROM audit_trail.dead_letter AS letter
            ORDER BY letter.id DESC
            LIMIT %(limit)s
        ) AS counted
    );
