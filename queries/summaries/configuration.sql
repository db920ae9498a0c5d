-- name: is_known
-- Whether an event names the device.
SELECT FROM device_summary
WHERE device_id = %(id)s;

-- name: path_at
-- The path of one change of the device.
SELECT path
FROM device_configuration
WHERE device_id = %(id)s AND position = %(position)s AND number = %(number)s;

-- name: list_values
-- The paths after `path`, one index look-up each, and for each the newest change up to `moment` and the oldest one
-- after it, again one look-up each. So the cost depends on the number of listed paths, not on that of the changes.
WITH RECURSIVE listed AS (
    SELECT
        (
            SELECT change.path
            FROM device_configuration AS change
            WHERE change.device_id = %(id)s AND change.outcome = 0 AND change.path > %(path)s
            ORDER BY change.path
            LIMIT 1
        ) AS path,
        1 AS place
    UNION ALL
    SELECT
        (
            SELECT change.path
            FROM device_configuration AS change
            WHERE change.device_id = %(id)s AND change.outcome = 0 AND change.path > listed.path
            ORDER BY change.path
            LIMIT 1
        ),
        listed.place + 1
    FROM listed
    WHERE listed.path IS NOT NULL AND listed.place < %(limit)s
)

SELECT
    listed.path,
    told.value::text,
    told.since,
    told.actor_id,
    told.later,
    told.position,
    told.number,
    (SELECT event.event_id FROM audit_trail.event WHERE event.position = told.position)
FROM listed
CROSS JOIN LATERAL (
    (
        SELECT after AS value, occurred_at AS since, actor_id, FALSE AS later, position, number
        FROM device_configuration
        WHERE device_id = %(id)s AND outcome = 0 AND path = listed.path AND occurred_at <= %(moment)s
        ORDER BY occurred_at DESC, position DESC, number DESC
        LIMIT 1
    )
    UNION ALL
    (
        SELECT before, NULL, NULL, TRUE, position, number
        FROM device_configuration
        WHERE device_id = %(id)s AND outcome = 0 AND path = listed.path AND occurred_at > %(moment)s
        ORDER BY occurred_at ASC, position ASC, number ASC
        LIMIT 1
    )
    ORDER BY later
    LIMIT 1
) AS told
ORDER BY listed.path;
