-- name: streams
-- All streams of these topics, past ones included, by topic name.
SELECT
    stream,
    topic,
    topic_id,
    partition,
    next_offset,
    leader_epoch,
    batch_crc,
    accepted_holes,
    replaced_by
FROM audit_trail.kafka_stream
WHERE topic = ANY(%(topics)s)
ORDER BY topic, partition, stream;

-- name: open
INSERT INTO audit_trail.kafka_stream (stream, topic, topic_id, partition, next_offset)
VALUES (%(stream)s, %(topic)s, %(topic_id)s, %(partition)s, 0)
ON CONFLICT DO NOTHING;

-- name: stream
SELECT next_offset FROM audit_trail.kafka_stream WHERE stream = %(stream)s;

-- name: accept_holes
UPDATE audit_trail.kafka_stream
SET accepted_holes = %(holes)s
WHERE stream = %(stream)s AND next_offset = %(expected)s;

-- name: replace
UPDATE audit_trail.kafka_stream
SET replaced_by = %(by)s
WHERE stream = %(stream)s AND next_offset = %(expected)s AND replaced_by IS NULL;

-- name: restore
UPDATE audit_trail.kafka_stream
SET replaced_by = NULL
WHERE topic_id = %(topic_id)s AND replaced_by IS NOT NULL;

-- name: lock
SELECT size FROM audit_trail.log_state FOR UPDATE;

-- name: reset
INSERT INTO audit_trail.stream_reset (stream, size, expected, continued_from, gap)
VALUES (%(stream)s, %(size)s, %(expected)s, %(continued_from)s, %(gap)s);

-- name: gaps
SELECT
    event.position,
    event.format,
    event.body
FROM audit_trail.stream_reset AS reset
INNER JOIN audit_trail.event ON reset.size = event.position AND reset.gap = event.event_id
WHERE event.position <= %(until)s
ORDER BY event.position;

-- name: count_gaps
SELECT count(*) FROM audit_trail.stream_reset;

-- name: next_offsets
SELECT
    stream,
    next_offset
FROM audit_trail.kafka_stream
WHERE stream = ANY(%(streams)s::uuid []);
