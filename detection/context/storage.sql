-- name: newest
-- The highest version of each table.
SELECT DISTINCT ON (table_name) * FROM audit_trail.context_version
WHERE %(table)s::text IS NULL OR table_name = %(table)s
ORDER BY table_name ASC, version DESC;

-- name: versions
SELECT * FROM audit_trail.context_version
WHERE table_name = %(table)s
ORDER BY version DESC
LIMIT %(limit)s;

-- name: version
SELECT * FROM audit_trail.context_version WHERE table_name = %(table)s AND version = %(version)s;

-- name: of_event
SELECT * FROM audit_trail.context_version WHERE event_id = %(event_id)s;

-- name: add_chunk
INSERT INTO audit_trail.context_chunk (digest, content) VALUES (%(digest)s, %(content)s)
ON CONFLICT (digest) DO NOTHING;

-- name: add_version
-- Of two loads at once, one finds its number taken.
INSERT INTO audit_trail.context_version (table_name, version, digest, rows, format, decided_by, reason)
VALUES (%(table)s, %(version)s, %(digest)s, %(rows)s, %(format)s, %(by)s, %(reason)s)
ON CONFLICT (table_name, version) DO NOTHING
RETURNING *;

-- name: add_version_chunks
INSERT INTO audit_trail.context_version_chunk (table_name, version, number, digest)
SELECT
    %(table)s,
    %(version)s,
    chunk.number,
    chunk.digest
FROM unnest(%(digests)s::bytea []) WITH ORDINALITY AS chunk (digest, number);

-- name: chunks
SELECT
    held.digest,
    chunk.content
FROM audit_trail.context_version_chunk AS held
INNER JOIN audit_trail.context_chunk AS chunk ON held.digest = chunk.digest
WHERE held.table_name = %(table)s AND held.version = %(version)s AND held.number BETWEEN %(first)s AND %(last)s
ORDER BY held.number;

-- name: unpublished
SELECT * FROM audit_trail.context_version
WHERE published_at IS NULL
ORDER BY loaded_at, table_name, version
LIMIT 100;

-- name: published
UPDATE audit_trail.context_version SET published_at = clock_timestamp()
WHERE event_id = %(event_id)s AND published_at IS NULL;
