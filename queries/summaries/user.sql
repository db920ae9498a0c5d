-- name: find_user
-- A user's summary: the sum of the action rows, which are at most as many as there are event types.
SELECT
    (array_agg(name ORDER BY name_position DESC NULLS LAST))[1],
    sum(events)::bigint,
    coalesce(sum(CASE type WHEN 'user.login_failed' THEN events WHEN 'user.logged_in' THEN failures END), 0)::bigint,
    coalesce(sum(events - failures) FILTER (WHERE type = 'user.logged_in'), 0)::bigint,
    min(first_at),
    max(last_at)
FROM user_action
WHERE user_id = %(id)s;

-- name: list_sessions
-- A user's sessions, the latest first.
SELECT session, started_at, ended_at, last_at, events
FROM user_session
WHERE user_id = %(id)s
ORDER BY last_day DESC, last_at DESC, session ASC
LIMIT %(limit)s;

-- name: list_patients
-- The patients that a user dealt with, the latest first.
SELECT patient_id, events, first_at, last_at
FROM patient_access
WHERE actor_id = %(id)s AND actor_id <> ''
ORDER BY last_day DESC, last_at DESC, patient_id ASC
LIMIT %(limit)s;

-- name: list_actions
-- How often a user did what, the most frequent first.
SELECT type, events
FROM user_action
WHERE user_id = %(id)s
ORDER BY events DESC, type ASC
LIMIT %(limit)s;
