-- name: page
-- Cases, the newest first. As in the pages of alerts, at most `walk` are looked at: those about an actor, of an
-- assignee or of a state if one of these is given (the first of them decides), else all.
WITH walked AS (
    SELECT detection_case.*
    FROM detection_case
    WHERE
        (detection_case.opened_position, detection_case.case_id) < (%(position)s, %(id)s)
        AND (%(actor)s::text IS NULL OR detection_case.actor = %(actor)s)
        AND (%(actor)s::text IS NOT NULL OR %(assignee)s::text IS NULL OR detection_case.assignee = %(assignee)s)
        AND (
            %(actor)s::text IS NOT NULL OR %(assignee)s::text IS NOT NULL
            OR %(state)s::text IS NULL OR detection_case.state = %(state)s
        )
    ORDER BY detection_case.opened_position DESC, detection_case.case_id DESC
    LIMIT %(walk)s
),

found AS (
    SELECT walked.*
    FROM walked
    WHERE
        (%(assignee)s::text IS NULL OR walked.assignee = %(assignee)s)
        AND (%(state)s::text IS NULL OR walked.state = %(state)s)
        AND (%(asked)s::boolean IS NULL OR (walked.asked IS NOT NULL) = %(asked)s)
        AND (%(levels)s::text [] IS NULL OR walked.level = ANY(%(levels)s))
        AND (walked.actor IS NULL OR walked.actor <> ALL(%(hidden_actors)s::text []))
    ORDER BY walked.opened_position DESC, walked.case_id DESC
    LIMIT %(limit)s
),

looked AS (
    SELECT
        count(*) AS cases,
        min(walked.opened_position) AS position,
        (array_agg(walked.case_id ORDER BY walked.opened_position ASC, walked.case_id ASC))[1] AS case_id
    FROM walked
)

SELECT
    looked.cases AS looked_cases,
    looked.position AS looked_position,
    looked.case_id AS looked_id,
    found.*
FROM looked
LEFT JOIN found ON TRUE
ORDER BY found.opened_position DESC, found.case_id DESC;

-- name: one
SELECT detection_case.*
FROM detection_case
WHERE
    detection_case.case_id = %(id)s
    AND detection_case.opened_position IS NOT NULL
    AND (detection_case.actor IS NULL OR detection_case.actor <> ALL(%(hidden_actors)s::text []));

-- name: entries
-- The events of a case after a position, the oldest first.
SELECT
    position,
    at,
    recorded_at,
    kind,
    by_kind,
    by_id,
    by_name,
    body
FROM case_entry
WHERE case_id = %(id)s AND position > %(after)s
ORDER BY position ASC
LIMIT %(limit)s;

-- name: questions
-- The open questions to a person, by the ids that the person has in events, the oldest first.
SELECT
    detection_case.case_id,
    detection_case.question,
    asked.at
FROM detection_case
INNER JOIN case_entry AS asked
    ON detection_case.case_id = asked.case_id AND detection_case.asked_position = asked.position
WHERE detection_case.asked = ANY(%(ids)s)
ORDER BY asked.at ASC, detection_case.case_id ASC
LIMIT %(limit)s;
