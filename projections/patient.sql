-- name: find_patient
-- A patient's summary: the sum of who dealt with it, which is as many rows as there were actors.
SELECT sum(events)::bigint, min(first_at), max(last_at)
FROM patient_access
WHERE patient_id = %(id)s;

-- name: list_accesses
-- Who dealt with a patient, the latest first.
SELECT actor_id, actor_name, accesses, events, first_at, last_at, purposes
FROM patient_access
WHERE patient_id = %(id)s
ORDER BY last_at DESC, actor_id ASC
LIMIT %(limit)s;
