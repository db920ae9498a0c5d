-- name: find_patient
-- A patient's summary: the sum of one row per actor.
SELECT sum(events)::bigint, min(first_at), max(last_at)
FROM patient_access
WHERE patient_id = %(id)s;

-- name: list_accesses
-- The actors that accessed a patient's record, the latest first.
SELECT
    access.actor_id,
    patient_actor.name,
    access.accesses,
    access.events,
    access.first_at,
    access.last_at,
    access.purposes
FROM patient_access AS access
LEFT JOIN patient_actor ON access.actor_id = patient_actor.actor_id
WHERE access.patient_id = %(id)s
ORDER BY access.last_at DESC, access.actor_id ASC
LIMIT %(limit)s;
