-- name: sizes
SELECT position, octet_length(body) FROM audit_trail.event WHERE position = ANY(%(positions)s) ORDER BY position;

-- name: bodies
SELECT position, body FROM audit_trail.event WHERE position = ANY(%(positions)s);
