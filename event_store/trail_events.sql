-- name: known
SELECT event_id FROM audit_trail.event_identity WHERE event_id = ANY(%(event_ids)s);
