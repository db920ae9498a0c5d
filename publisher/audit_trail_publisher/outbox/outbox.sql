-- The statements on an outbox in PostgreSQL.

-- name: insert
INSERT INTO audit_outbox (id, aggregatetype, aggregateid, type, payload, slot)
VALUES (%(id)s::uuid, %(aggregatetype)s, %(aggregateid)s, %(type)s, %(payload)s, %(slot)s);

-- name: lock_slots
-- The slots with the oldest rows. Another relay skips them until the end of this transaction, so that no relay sends a
-- later event of a key before an earlier one is settled.
SELECT audit_outbox_slot.slot
FROM audit_outbox_slot
WHERE EXISTS (SELECT 1 FROM audit_outbox WHERE audit_outbox.slot = audit_outbox_slot.slot)
ORDER BY (SELECT min(audit_outbox.position) FROM audit_outbox WHERE audit_outbox.slot = audit_outbox_slot.slot)
LIMIT 8
FOR UPDATE SKIP LOCKED;

-- name: head
-- The first rows of these slots, of so many bytes together, but always one.
SELECT
    measured.id,
    measured.type,
    measured.aggregateid,
    measured.payload
FROM (
    SELECT
        first.*,
        sum(octet_length(first.payload)) OVER (ORDER BY first.position) AS size,
        row_number() OVER (ORDER BY first.position) AS place
    FROM (
        SELECT
            audit_outbox.id,
            audit_outbox.type,
            audit_outbox.aggregateid,
            audit_outbox.payload,
            audit_outbox.position
        FROM audit_outbox
        WHERE audit_outbox.slot = any(%(slots)s::smallint[])
        ORDER BY audit_outbox.position
        LIMIT %(events)s
    ) AS first
) AS measured
WHERE measured.size <= %(bytes)s OR measured.place = 1
ORDER BY measured.position;

-- name: delete
DELETE FROM audit_outbox WHERE id = any(%(ids)s::uuid[]);

-- name: reject
INSERT INTO audit_outbox_rejected (id, aggregatetype, aggregateid, type, payload, slot, kept_at, reason, field, message)
SELECT id, aggregatetype, aggregateid, type, payload, slot, kept_at, %(reason)s, %(field)s, %(message)s
FROM audit_outbox
WHERE id = %(id)s::uuid
ON CONFLICT (id) DO NOTHING;

-- name: rejected
SELECT id, type, rejected_at, reason, field, message, payload
FROM audit_outbox_rejected
ORDER BY rejected_at, id
LIMIT %(events)s;

-- name: resend
WITH sent AS (
    DELETE FROM audit_outbox_rejected
    WHERE %(everything)s OR id = any(%(ids)s::uuid[])
    RETURNING id, aggregatetype, aggregateid, type, payload, slot
)

INSERT INTO audit_outbox (id, aggregatetype, aggregateid, type, payload, slot)
SELECT id, aggregatetype, aggregateid, type, payload, slot
FROM sent;

-- name: status
SELECT
    (SELECT count(*) FROM audit_outbox),
    (SELECT coalesce(extract(EPOCH FROM clock_timestamp() - min(kept_at)), 0) FROM audit_outbox),
    (SELECT count(*) FROM audit_outbox_rejected);
