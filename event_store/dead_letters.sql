-- name: copy
COPY audit_trail.dead_letter
(
    stream, topic, partition, "offset", timestamp, key, value, headers, reason, field, message,
    value_size, value_sha256, key_size, key_sha256, headers_size, headers_sha256, last_offset, codec, record_count
)
FROM STDIN (FORMAT "binary");

-- name: list
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
    letter.message
FROM audit_trail.dead_letter AS letter
WHERE letter.id > %(after)s
ORDER BY letter.id
LIMIT %(limit)s;

-- name: get
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
    letter.timestamp,
    letter.key,
    letter.value,
    letter.headers,
    letter.value_size,
    letter.value_sha256,
    letter.key_size,
    letter.key_sha256,
    letter.headers_size,
    letter.headers_sha256,
    letter.codec,
    letter.record_count
FROM audit_trail.dead_letter AS letter
WHERE letter.id = %(id)s;

-- name: count_by_reason
SELECT letter.reason, count(*)
FROM audit_trail.dead_letter AS letter
GROUP BY letter.reason
ORDER BY letter.reason;
