-- name: aggregate_events
-- The events of one aggregate, by version.
SELECT event.stream, event.stream_position, event.type, event.body
FROM audit_trail.aggregate_version AS version
INNER JOIN audit_trail.event USING (position)
WHERE
    version.stream = %(stream)s
    AND (%(after)s::bigint IS NULL OR version.stream_position > %(after)s)
    AND (%(until)s::bigint IS NULL OR version.stream_position <= %(until)s)
ORDER BY CASE WHEN %(newest_first)s THEN -version.stream_position ELSE version.stream_position END
LIMIT %(limit)s;

-- name: track
-- Moves a tracking record forward, and never back.
INSERT INTO audit_trail.tracking AS old (recorder, application_name, notification_id)
VALUES (%(recorder)s, %(application)s, %(notification_id)s)
ON CONFLICT (recorder, application_name)
DO UPDATE SET notification_id = excluded.notification_id
WHERE old.notification_id < excluded.notification_id;

-- name: tracked
SELECT notification_id
FROM audit_trail.tracking
WHERE recorder = %(recorder)s AND application_name = %(application)s;

-- name: notifications
-- Events from position `begin` on, before `stop`; of these topics, or of all.
SELECT position, stream, stream_position, type, body
FROM audit_trail.event
WHERE
    position >= %(begin)s
    AND (%(stop)s::bigint IS NULL OR position < %(stop)s)
    AND (%(topics)s::text [] = '{}' OR type = ANY(%(topics)s))
ORDER BY position
LIMIT %(limit)s;
