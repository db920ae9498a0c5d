-- name: size
SELECT size FROM audit_trail.log_state;

-- name: events_between
-- The events after position `after`, up to `until`.
COPY (
    SELECT position, stream_position, recorded_at, stream, format, body
    FROM audit_trail.event
    WHERE position > %(after)s AND position <= %(until)s
    ORDER BY position
) TO STDOUT (FORMAT "binary");

-- name: bounded_events
-- The same, as long as the bodies before an event have less than some bytes: at least one event, whatever its size.
COPY (
    SELECT position, stream_position, recorded_at, stream, format, body
    FROM (
        SELECT
            event.*,
            sum(octet_length(event.body)) OVER (ORDER BY event.position) - octet_length(event.body) AS before
        FROM audit_trail.event
        WHERE event.position > %(after)s AND event.position <= %(until)s
    ) AS measured
    WHERE before < %(most_bytes)s
    ORDER BY position
) TO STDOUT (FORMAT "binary");

-- name: events_at
-- One row, whatever it holds: for each row of a COPY the driver releases Python's lock and waits for it again. It is a
-- COPY because the values of a SELECT arrive as text.
COPY (SELECT audit_trail.event_records(%(positions)s::bigint [])) TO STDOUT (FORMAT "binary");

-- name: find_event
SELECT position, recorded_at, stream, stream_position, format, body
FROM audit_trail.event
INNER JOIN audit_trail.event_identity USING (position)
WHERE event_identity.event_id = %(event_id)s AND format <> %(aggregate)s;
