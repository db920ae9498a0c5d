-- name: staff_version
-- The newest version of the table of staff whose load is an event below `size`: the one that counts there.
SELECT max(version.version)
FROM audit_trail.context_version AS version
INNER JOIN audit_trail.event_identity AS identity ON identity.event_id = version.event_id
WHERE version.table_name = 'staff' AND identity.position < %(size)s;

-- name: overdue
-- Open reviews of the live build whose due date has passed, and of which that was not noticed.
SELECT review.review_id
FROM review
WHERE
    review.state = 'open' AND review.overdue_at IS NULL AND review.due_at <= %(now)s
    AND review.items > review.decided
ORDER BY review.due_at
LIMIT %(limit)s;

-- name: stream
-- The events of one review, in their order.
SELECT event.position, event.stream_position, event.type, event.body
FROM audit_trail.aggregate_version AS version
INNER JOIN audit_trail.event AS event ON event.position = version.position
WHERE version.stream = %(stream)s
ORDER BY version.stream_position;
