-- name: position
-- The position of an event of the trail; the events of aggregates are none.
SELECT position
FROM audit_trail.event_identity
INNER JOIN audit_trail.event USING (position)
WHERE event_identity.event_id = %(event_id)s AND format <> %(aggregate)s;

-- name: entries_between
-- The values of the leaf entries from position `first` on, before `until`.
SELECT position, event_id, recorded_at, stream, stream_position, format, encode(sha256(body), 'hex')
FROM audit_trail.event
WHERE position >= %(first)s AND position < %(until)s
ORDER BY position;

-- name: entries_at
SELECT position, event_id, recorded_at, stream, stream_position, format, encode(sha256(body), 'hex')
FROM audit_trail.event
WHERE position = ANY(%(positions)s);

-- name: oldest
-- The first event that the database holds: position 0, or the first one after what was archived.
SELECT position, recorded_at
FROM audit_trail.event
ORDER BY position
LIMIT 1;
