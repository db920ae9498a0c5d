-- name: lock
-- The lock orders all appends.
SELECT size, root, edge, partitioned_until FROM audit_trail.log_state FOR UPDATE;

-- name: clock
-- The time of the next batch, and by how much the clock is behind the last event. It is a statement of its own, because
-- the snapshot of the one that waited for the lock may lack the last event. Each batch is later than the one before.
SELECT
    greatest(clock.now, event.recorded_at + interval '1 microsecond'),
    event.recorded_at - clock.now,
    clock.now
FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN audit_trail.event ON event.position = %(last)s;

-- name: newest_note
SELECT size, note FROM audit_trail.tree_head ORDER BY size DESC LIMIT 1;

-- name: advance_offset
-- Compare-and-set of a Kafka stream.
UPDATE audit_trail.kafka_stream
SET next_offset = %(next)s, leader_epoch = %(leader_epoch)s, batch_crc = %(batch_crc)s
WHERE stream = %(stream)s AND next_offset = %(expected)s;

-- name: copy_ids
COPY audit_trail.event_identity (event_id, position) FROM STDIN (FORMAT "binary");

-- name: stored_sizes
-- The size of the stored body of each known id; NULL when the event's row is missing.
SELECT identity.event_id, octet_length(event.body)
FROM audit_trail.event_identity AS identity
LEFT JOIN audit_trail.event USING (position)
WHERE identity.event_id = ANY(%(event_ids)s);

-- name: stored_bodies
SELECT identity.event_id, event.format, event.body
FROM audit_trail.event_identity AS identity
INNER JOIN audit_trail.event USING (position)
WHERE identity.event_id = ANY(%(event_ids)s);

-- name: add_partitions
SELECT audit_trail.add_partitions(%(until)s);

-- name: copy_versions
COPY audit_trail.aggregate_version (stream, stream_position, position) FROM STDIN (FORMAT "binary");

-- name: copy_events
COPY audit_trail.event
(position, recorded_at, stream, format, type, stream_position, occurred_at, event_id, body)
FROM STDIN (FORMAT "binary");

-- name: copy_tiles
COPY audit_trail.tile (level, index, "hashes") FROM STDIN (FORMAT "binary");

-- name: seal
-- Compare-and-set of the log's state, although the row is locked: a state that moved is an inconsistent log.
UPDATE audit_trail.log_state
SET size = %(size)s, root = %(root)s, edge = %(edge)s
WHERE size = %(locked_size)s AND root = %(locked_root)s;
