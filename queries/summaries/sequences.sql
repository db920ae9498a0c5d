-- name: is_counted
-- Whether the live tables have the numbers: not until they are rebuilt after an upgrade.
SELECT to_regclass('service_sequence') IS NOT NULL;

-- name: list_instances
-- The instances of a service that number their events, the latest first.
SELECT instance, events, highest, first_at, last_at
FROM service_instance
WHERE service = %(service)s
ORDER BY last_day DESC, last_at DESC, instance ASC
LIMIT %(limit)s;

-- name: list_gaps
-- The newest gaps, of one service or of all. Each lies before a run of numbers. It was noticed when the first event
-- with a higher number was recorded: the lowest position of the runs behind it, of which the next hundred are read.
WITH gap AS (
    (
        SELECT service, instance, first, position
        FROM service_sequence
        WHERE NOT repeated AND first > 1 AND service = %(service)s
        ORDER BY position DESC
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT service, instance, first, position
        FROM service_sequence
        WHERE NOT repeated AND first > 1 AND %(service)s::text IS NULL
        ORDER BY position DESC
        LIMIT %(limit)s
    )
)

SELECT
    gap.service,
    gap.instance,
    coalesce(earlier.last, 0) + 1,
    gap.first - 1,
    event.recorded_at,
    coalesce(event.recorded_at < clock_timestamp() - %(lateness)s, true)
FROM gap
LEFT JOIN LATERAL (
    SELECT run.last
    FROM service_sequence AS run
    WHERE NOT run.repeated AND run.service = gap.service AND run.instance = gap.instance AND run.first < gap.first
    ORDER BY run.first DESC
    LIMIT 1
) AS earlier ON TRUE
CROSS JOIN LATERAL (
    SELECT min(later.position) AS position
    FROM (
        SELECT run.position
        FROM service_sequence AS run
        WHERE NOT run.repeated AND run.service = gap.service AND run.instance = gap.instance AND run.first >= gap.first
        ORDER BY run.first ASC
        LIMIT 100
    ) AS later
) AS noticed
LEFT JOIN audit_trail.event ON noticed.position = event.position
ORDER BY noticed.position DESC, gap.service ASC, gap.instance ASC, gap.first DESC;

-- name: list_conflicts
-- The numbers of a service that more than one event has.
SELECT service, instance, first, last
FROM service_sequence
WHERE repeated AND service = %(service)s
ORDER BY instance ASC, first ASC
LIMIT %(limit)s;

-- name: count_gaps
-- The gaps of each service, those that were noticed long ago first. A scrape must not read millions of rows.
SELECT
    gap.service,
    count(*),
    count(*) FILTER (WHERE coalesce(event.recorded_at < clock_timestamp() - %(lateness)s, true))
FROM (
    SELECT
        oldest.service,
        min(oldest.position) OVER (
            PARTITION BY oldest.service, oldest.instance ORDER BY oldest.first DESC
        ) AS position
    FROM (
        SELECT service, instance, first, position
        FROM service_sequence
        WHERE NOT repeated AND first > 1
        ORDER BY position ASC
        LIMIT %(limit)s
    ) AS oldest
) AS gap
LEFT JOIN audit_trail.event ON gap.position = event.position
GROUP BY gap.service;

-- name: count_conflicts
-- The runs of repeated numbers of each service.
SELECT service, count(*)
FROM (
    SELECT service
    FROM service_sequence
    WHERE repeated
    ORDER BY position ASC
    LIMIT %(limit)s
) AS repeated
GROUP BY service;
