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
    access.purposes
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
