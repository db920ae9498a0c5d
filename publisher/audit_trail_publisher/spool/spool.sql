-- The statements on a spool. Times are seconds since 1970-01-01T00:00:00Z.

-- name: create_spool
INSERT INTO spool (one, spool_id) VALUES (1, :spool_id);

-- name: spool_id
SELECT spool_id FROM spool;

-- name: size
SELECT events, bytes FROM spool;

-- name: resize
UPDATE spool SET events = :events, bytes = :bytes;

-- name: sequence
SELECT sequence FROM instance WHERE service = :service AND instance = :instance;

-- name: set_sequence
INSERT OR REPLACE INTO instance (service, instance, sequence) VALUES (:service, :instance, :sequence);

-- name: add
INSERT OR IGNORE INTO pending (event_id, type, key, body, kept_at)
VALUES (:event_id, :type, :key, :body, :kept_at);

-- name: head
SELECT event_id, type, key, body FROM pending ORDER BY number LIMIT :events;

-- name: remove
DELETE FROM pending WHERE event_id = :event_id;

-- name: shrink
UPDATE spool
SET
    events = events - :events,
    bytes = bytes - :bytes,
    delivered = delivered + :delivered,
    last_success_at = :now,
    last_error = '',
    last_error_at = NULL;

-- name: fail
UPDATE spool SET failures = failures + 1, last_error = :error, last_error_at = :now;

-- name: reject
INSERT OR REPLACE INTO rejected (event_id, type, key, body, kept_at, rejected_at, reason, field, message)
SELECT event_id, type, key, body, kept_at, :now, :reason, :field, :message FROM pending WHERE event_id = :event_id;

-- name: rejected
SELECT event_id, type, rejected_at, reason, field, message, body FROM rejected ORDER BY number LIMIT :events;

-- name: rejection
SELECT reason, field, message FROM rejected WHERE event_id = :event_id;

-- name: rejected_row
SELECT type, key, body, kept_at FROM rejected WHERE event_id = :event_id;

-- name: rejected_ids
SELECT event_id FROM rejected ORDER BY number;

-- name: forget_rejected
DELETE FROM rejected WHERE event_id = :event_id;

-- name: discard
INSERT INTO discarded (event_id, type, digest, rejection, discarded_at, discarded_by, reason)
SELECT event_id, type, :digest, reason, :now, :operator, :why FROM rejected WHERE event_id = :event_id;

-- name: is_pending
SELECT 1 FROM pending WHERE event_id = :event_id;

-- name: status
SELECT
    events,
    bytes,
    (SELECT kept_at FROM pending ORDER BY number LIMIT 1),
    (SELECT count(*) FROM rejected),
    delivered,
    failures,
    last_error,
    last_error_at,
    last_success_at
FROM spool;
