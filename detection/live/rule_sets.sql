-- name: store_set
INSERT INTO audit_trail.rule_set (digest, documents) VALUES (%(digest)s, %(documents)s)
ON CONFLICT (digest) DO NOTHING;

-- name: activate
INSERT INTO audit_trail.rule_activation (digest, details) VALUES (%(digest)s, %(details)s)
RETURNING event_id, digest, details, decided_at;

-- name: newest
SELECT
    event_id,
    digest,
    details,
    decided_at
FROM audit_trail.rule_activation
ORDER BY id DESC
LIMIT 1;

-- name: unpublished
SELECT
    event_id,
    digest,
    details,
    decided_at
FROM audit_trail.rule_activation
WHERE published_at IS NULL
ORDER BY id;

-- name: published
UPDATE audit_trail.rule_activation
SET published_at = clock_timestamp()
WHERE event_id = %(event_id)s AND published_at IS NULL;

-- name: is_ours
SELECT 1 AS found
FROM audit_trail.rule_activation
WHERE event_id = %(event_id)s AND digest = %(digest)s;

-- name: documents
SELECT documents
FROM audit_trail.rule_set
WHERE digest = %(digest)s;

-- name: note_fault
INSERT INTO audit_trail.rule_folder_fault (fault) VALUES (%(fault)s)
ON CONFLICT (only_row) DO UPDATE SET fault = excluded.fault, since = excluded.since
WHERE rule_folder_fault.fault <> excluded.fault;

-- name: no_fault
DELETE FROM audit_trail.rule_folder_fault;
