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

-- name: reviews
-- The newest reviews of the live build.
SELECT
    review_id,
    name,
    kind,
    state,
    begun_at,
    begun_by,
    due_at,
    overdue_at,
    items,
    decided,
    without_reviewer,
    purpose,
    tree_size,
    root_hash,
    closed_at,
    closed_by,
    close_reason,
    result
FROM review
WHERE begun_at IS NOT NULL AND (%(review)s::text IS NULL OR review_id = %(review)s)
ORDER BY begun_position DESC
LIMIT %(limit)s;

-- name: items
-- The items of a review after one of them.
SELECT item, stratum, subject, what, positions, reviewer, verdict, reason, seconds, decided_by, decided_at
FROM review_item
WHERE
    review_id = %(review)s AND item > %(after)s
    AND (%(reviewer)s::text IS NULL OR reviewer = %(reviewer)s)
    AND (NOT %(open)s OR verdict IS NULL)
ORDER BY item
LIMIT %(limit)s;
