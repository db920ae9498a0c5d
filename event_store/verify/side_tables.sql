-- name: sums
-- Two tables are compared by their counts and the exclusive or of row hashes, in one pass each: a tenth of the time of
-- a join. The seed is random, so that nobody can prepare rows whose hashes cancel out. Only if the sums differ are the
-- tables joined, to find the first position. Positions that no event can have are included.
SELECT
    (
        SELECT (count(*), bit_xor(uuid_hash_extended(event_id, hashint8extended(position, %(seed)s))))::text
        FROM audit_trail.event_identity
        WHERE (position >= 0 AND position < %(since)s) IS NOT TRUE
    ),
    (
        SELECT (
            count(*),
            bit_xor(
                uuid_hash_extended(stream, hashint8extended(position, hashint8extended(stream_position, %(seed)s)))
            )
        )::text
        FROM audit_trail.aggregate_version
        WHERE (position >= 0 AND position < %(since)s) IS NOT TRUE
    ),
    (count(*), bit_xor(uuid_hash_extended(event_id, hashint8extended(position, %(seed)s))))::text,
    (
        count(*) FILTER (WHERE format = %(aggregate)s),
        bit_xor(
            uuid_hash_extended(stream, hashint8extended(position, hashint8extended(stream_position, %(seed)s)))
        ) FILTER (WHERE format = %(aggregate)s)
    )::text
FROM audit_trail.event
WHERE position >= %(since)s;

-- name: unlike_ids
SELECT
    coalesce(event.position, known.position) AS first_position,
    known.event_id
FROM (SELECT position, event_id FROM audit_trail.event WHERE position >= %(since)s) AS event
FULL JOIN (
    SELECT
        position,
        event_id
    FROM audit_trail.event_identity
    WHERE (position >= 0 AND position < %(since)s) IS NOT TRUE
) AS known
    ON event.event_id = known.event_id AND event.position = known.position
WHERE known.event_id IS NULL OR event.position IS NULL
ORDER BY first_position ASC, known.event_id ASC NULLS FIRST
LIMIT 2;

-- name: unlike_versions
SELECT
    coalesce(event.position, known.position) AS first_position,
    known.stream
FROM (
    SELECT
        position,
        stream,
        stream_position
    FROM audit_trail.event
    WHERE position >= %(since)s AND format = %(aggregate)s
) AS event
FULL JOIN (
    SELECT
        position,
        stream,
        stream_position
    FROM audit_trail.aggregate_version
    WHERE (position >= 0 AND position < %(since)s) IS NOT TRUE
) AS known
    ON
        event.stream = known.stream
        AND event.stream_position = known.stream_position
        AND event.position = known.position
WHERE known.stream IS NULL OR event.position IS NULL
ORDER BY first_position ASC, known.stream ASC NULLS FIRST
LIMIT 2;

-- name: beyond
-- The first event and the first tile outside the log that its state describes, and the largest head.
SELECT
    coalesce(
        (SELECT min(position) FROM audit_trail.event WHERE position < 0),
        (SELECT min(position) FROM audit_trail.event WHERE position >= %(size)s)
    ),
    (
        SELECT level || '/' || index
        FROM audit_trail.tile
        WHERE (index + 1)::numeric * power(256::numeric, level + 1) > %(size)s OR index < 0 OR level < 0
        ORDER BY level ASC, index ASC
        LIMIT 1
    ),
    (SELECT max(size) FROM audit_trail.tree_head);

-- name: cosignatures
SELECT
    cosignature.size,
    cosignature.vkey,
    cosignature.line,
    tree_head.note
FROM audit_trail.cosignature
LEFT JOIN audit_trail.tree_head ON cosignature.size = tree_head.size
WHERE (cosignature.size >= 0 AND cosignature.size < %(since)s) IS NOT TRUE
ORDER BY cosignature.size ASC;

-- name: streams
SELECT
    stream,
    next_offset,
    topic,
    topic_id,
    partition
FROM audit_trail.kafka_stream;

-- name: resets
-- Each reset with the stored event that recorded it.
SELECT
    reset.stream,
    reset.size,
    reset.continued_from,
    reset.gap,
    event.position,
    event.stream,
    event.format,
    event.body
FROM audit_trail.stream_reset AS reset
LEFT JOIN audit_trail.event_identity AS identity ON reset.gap = identity.event_id
LEFT JOIN audit_trail.event ON identity.position = event.position
ORDER BY reset.stream ASC, reset.size ASC;

-- name: aggregates
SELECT DISTINCT stream FROM audit_trail.aggregate_version;

-- name: dead_letters
-- The last offset of each stream that has dead letters.
SELECT stream, max("offset") FROM audit_trail.dead_letter GROUP BY stream;
