-- name: hour_bounds
-- The positions between which all events of a time range lie.
SELECT
    min(first_position),
    max(last_position)
FROM activity_hour
WHERE hour >= %(from)s AND hour < %(until)s;

-- name: hour_before
-- The hour in which a window begins that ends before an hour and holds so many hours with events.
SELECT min(hour)
FROM (SELECT hour FROM activity_hour WHERE hour < %(edge)s ORDER BY hour DESC LIMIT %(count)s) AS within;

-- name: hour_after
-- The hour in which a window ends that begins at an hour and holds so many hours with events.
SELECT max(hour)
FROM (SELECT hour FROM activity_hour WHERE hour >= %(edge)s ORDER BY hour ASC LIMIT %(count)s) AS within;

-- name: occurred_at
-- When an event occurred, by the source's clock.
SELECT occurred_at FROM activity WHERE position = %(position)s;

-- name: count_hours
-- The events of each hour or day, the number of these and the number of all events.
SELECT
    date_trunc(%(unit)s, hour) AS key,
    sum(events)::bigint,
    count(*) OVER (),
    (sum(sum(events)) OVER ())::bigint
FROM activity_hour
WHERE hour >= %(from)s AND hour < %(until)s
GROUP BY key
ORDER BY key DESC
LIMIT %(limit)s;

-- name: plan_counts
-- A count reads all that it counts, and puts it in order afterwards: without these the planner would rather read the
-- whole trail in the order of an index than sort a week of it.
SELECT
    set_config('enable_sort', 'on', true),
    set_config('enable_hashagg', 'on', true);
