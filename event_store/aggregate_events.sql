-- name: between
-- Events of aggregates after position `after`, up to `until`, in the order of the log.
SELECT position, recorded_at, stream, stream_position, type, body
FROM audit_trail.event
WHERE position > %(after)s AND position <= %(until)s AND format = %(aggregate)s
ORDER BY position;

-- name: position_of
SELECT position FROM audit_trail.aggregate_version
WHERE stream = %(stream)s AND stream_position = %(version)s;
