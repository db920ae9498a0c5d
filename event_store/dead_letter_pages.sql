-- name: page
-- Dead letters before the id `before`, the newest first, without their messages.
SELECT
    letter.id,
    letter.received_at,
    letter.stream,
    letter.topic,
    letter.partition,
    letter."offset",
    letter.last_offset,
    letter.reason,
    letter.field,
    letter.message,
    coalesce(letter.value_size, octet_length(letter.value), 0)
FROM audit_trail.dead_letter AS letter
WHERE
    (%(before)s::bigint IS NULL OR letter.id < %(before)s)
    AND (%(reason)s::text IS NULL OR letter.reason = %(reason)s)
    AND (%(topic)s::text IS NULL OR letter.topic = %(topic)s)
ORDER BY letter.id DESC
LIMIT %(limit)s;

-- name: decisions
-- The events of the aggregates with these ids, the oldest first.
SELECT version.stream, event.type, event.body, event.recorded_at
FROM audit_trail.aggregate_version AS version
INNER JOIN audit_trail.event USING (position)
WHERE version.stream = ANY(%(streams)s::uuid [])
ORDER BY version.stream ASC, version.stream_position ASC;

-- name: same_message
-- A later dead letter with the same message, among the next ones of its topic.
SELECT later.id
FROM (
    SELECT letter.id, letter.value
    FROM audit_trail.dead_letter AS letter
    WHERE letter.topic = %(topic)s AND letter.id > %(id)s
    ORDER BY letter.id
    LIMIT 1000
) AS later
WHERE later.value = %(value)s
ORDER BY later.id DESC
LIMIT 1;
