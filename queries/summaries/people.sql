-- name: find_named
-- The users with a word that begins so, by the key of the table. One row a user: that with the latest name.
WITH named AS MATERIALIZED (
    SELECT user_id, name, position, by_patient
    FROM user_name
    WHERE word >= %(word)s AND word < %(beyond)s
    ORDER BY word, user_id
    LIMIT %(most)s
)
SELECT DISTINCT ON (user_id)
    user_id,
    name,
    bool_or(by_patient = 1) OVER (PARTITION BY user_id),
    (SELECT count(*) FROM named)
FROM named
ORDER BY user_id ASC, position DESC;

-- name: known_actors
-- Which of the ids are those of an actor of an event.
SELECT id
FROM unnest(%(ids)s::text []) AS wanted (id)
WHERE EXISTS (SELECT FROM activity WHERE activity.actor_id = wanted.id);

-- name: known_patients
-- Which of the ids are those of a patient of an event.
SELECT id
FROM unnest(%(ids)s::text []) AS wanted (id)
WHERE EXISTS (SELECT FROM patient_timeline WHERE patient_timeline.patient_id = wanted.id);
