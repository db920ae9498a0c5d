-- name: newest
SELECT
    event.position,
    event.format,
    event.body
FROM audit_trail.clock_change AS change
INNER JOIN audit_trail.event USING (position)
WHERE event.stream = %(stream)s AND event.type = ANY(%(types)s)
ORDER BY change.position DESC
LIMIT 1;

-- name: insert
INSERT INTO audit_trail.clock_change (position) VALUES (%(position)s);
