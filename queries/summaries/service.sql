-- name: find_service
-- A service's summary.
SELECT events, restarts, health_failures, first_at, last_at
FROM service_summary
WHERE service = %(id)s;

-- name: list_periods
-- The periods between a service's transitions, by instance, the latest first. The latest rows include their
-- successors, so the limit may come first.
SELECT
    state,
    occurred_at,
    lead(occurred_at) OVER (PARTITION BY instance ORDER BY occurred_at ASC, position ASC) AS until_at,
    instance
FROM (
    SELECT position, occurred_at, state, instance
    FROM service_state
    WHERE service = %(id)s
    ORDER BY occurred_at DESC, position DESC
    LIMIT %(limit)s
) AS newest
ORDER BY occurred_at DESC, position DESC;

-- name: list_api_use
-- The API use of a service by hour and method, the latest first.
SELECT hour, method, calls, failures, duration_us / 1000.0::double precision
FROM service_api_use
WHERE service = %(id)s
ORDER BY hour DESC, method ASC
LIMIT %(limit)s;
