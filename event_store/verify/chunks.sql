-- name: rows
COPY (
    SELECT position, stream_position, recorded_at, occurred_at, stream, event_id, format, type, body
    FROM audit_trail.event
    WHERE position >= %(first)s AND position < %(until)s
    ORDER BY position
) TO STDOUT (FORMAT "binary");

-- name: heads
-- The heads that end after position `first`, up to `until`.
SELECT size, root, note, signed_at
FROM audit_trail.tree_head
WHERE size > %(first)s AND size <= %(until)s;

-- name: leaf_tiles
SELECT index, "hashes" FROM audit_trail.tile WHERE level = 0 AND index >= %(first)s AND index < %(until)s;

-- name: tile
SELECT "hashes" FROM audit_trail.tile WHERE level = %(height)s AND index = %(at)s;

-- name: smallest_head
SELECT min(size) FROM audit_trail.tree_head;
