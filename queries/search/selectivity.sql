-- name: hour_bounds
-- The positions between which all events of a time range lie.
SELECT
    min(first_position),
    max(last_position)
FROM activity_hour
WHERE hour >= %(from)s AND hour < %(until)s;
