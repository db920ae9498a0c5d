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
