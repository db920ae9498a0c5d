-- name: newest_version
SELECT max(version) FROM audit_trail.context_version WHERE table_name = 'staff';

-- name: rows
SELECT
    held.digest,
    chunk.content
FROM audit_trail.context_version_chunk AS held
INNER JOIN audit_trail.context_chunk AS chunk USING (digest)
WHERE held.table_name = 'staff' AND held.version = %(version)s
ORDER BY held.number;
