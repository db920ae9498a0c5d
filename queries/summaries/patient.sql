-- name: find_patient
-- A patient's summary: the sum of one row per actor.
SELECT sum(events)::bigint, min(first_at), max(last_at)
FROM patient_access
WHERE patient_id = %(id)s;

-- name: list_accesses
-- The actors that accessed a patient's record, the latest first. With `own`, the id of a patient who acted is shown
-- only if it is one of these.
SELECT
    shown.actor_id,
    patient_actor.name,
    access.accesses,
    access.events,
    access.first_at,
    access.last_at,
    access.purposes,
    access.roles,
    access.emergencies,
    access.without_purpose
FROM patient_access AS access
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN
                access.by_patient = 0 OR %(own)s::text [] IS NULL OR access.actor_id = any(%(own)s::text [])
                THEN access.actor_id
            ELSE ''
        END AS actor_id
) AS shown
LEFT JOIN patient_actor ON shown.actor_id = patient_actor.actor_id
WHERE access.patient_id = %(id)s
ORDER BY access.last_at DESC, access.actor_id ASC
LIMIT %(limit)s;

-- name: list_accesses_between
-- The same for a range of times, from the patient's events in it: one index range of the timeline, between the first
-- and the last position of the range's hours. Reads of the trail are no dealings with the patient. The roles are those
-- of all times.
WITH seen AS MATERIALIZED (
    SELECT
        activity.outcome,
        activity.type,
        activity.emergency,
        activity.purposes,
        activity.occurred_at,
        coalesce(activity.actor_id, '') AS actor_id
    FROM patient_timeline AS timeline
    INNER JOIN activity ON timeline.position = activity.position
    WHERE
        timeline.patient_id = %(id)s
        AND timeline.position >= (
            SELECT min(first_position) FROM activity_hour
            WHERE hour >= date_trunc('hour', %(begin)s::timestamptz) AND hour < %(until)s
        )
        AND timeline.position <= (
            SELECT least(max(last_position), %(as_of)s) FROM activity_hour
            WHERE hour >= date_trunc('hour', %(begin)s::timestamptz) AND hour < %(until)s
        )
        AND activity.occurred_at >= %(begin)s
        AND activity.occurred_at < %(until)s
        AND activity.type <> %(read)s
),

access AS (
    SELECT
        actor_id,
        count(*) AS events,
        count(*) FILTER (WHERE outcome = 0 AND type = any(%(accessed)s)) AS accesses,
        count(*) FILTER (WHERE outcome = 0 AND type = any(%(accessed)s) AND purposes IS NULL) AS without_purpose,
        count(*) FILTER (WHERE emergency) AS emergencies,
        min(occurred_at) AS first_at,
        max(occurred_at) AS last_at
    FROM seen
    GROUP BY actor_id
),

given AS (
    SELECT
        seen.actor_id,
        array_agg(DISTINCT purpose ORDER BY purpose) AS purposes
    FROM seen
    CROSS JOIN LATERAL unnest(seen.purposes) AS purpose
    GROUP BY seen.actor_id
)

SELECT
    shown.actor_id,
    patient_actor.name,
    access.accesses,
    access.events,
    access.first_at,
    access.last_at,
    coalesce(given.purposes, '{}') AS purposes,
    held.roles,
    access.emergencies,
    access.without_purpose
FROM access
INNER JOIN patient_access AS held ON access.actor_id = held.actor_id
LEFT JOIN given ON access.actor_id = given.actor_id
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN
                held.by_patient = 0 OR %(own)s::text [] IS NULL OR access.actor_id = any(%(own)s::text [])
                THEN access.actor_id
            ELSE ''
        END AS actor_id
) AS shown
LEFT JOIN patient_actor ON shown.actor_id = patient_actor.actor_id
WHERE held.patient_id = %(id)s
ORDER BY access.last_at DESC, access.actor_id ASC
LIMIT %(limit)s;
