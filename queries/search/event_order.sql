-- name: occurred_at
-- When an event occurred, by the source's clock.
SELECT occurred_at FROM activity WHERE position = %(position)s;

-- name: hour_before
-- The hour in which a window begins that ends before an hour and holds so many hours with events.
SELECT min(hour)
FROM (SELECT hour FROM activity_hour WHERE hour < %(edge)s ORDER BY hour DESC LIMIT %(count)s) AS within;

-- name: hour_after
-- The hour in which a window ends that begins at an hour and holds so many hours with events.
SELECT max(hour)
FROM (SELECT hour FROM activity_hour WHERE hour >= %(edge)s ORDER BY hour ASC LIMIT %(count)s) AS within;
