-- name: save
INSERT INTO audit_trail.projection_state (name, build, position, state)
VALUES (%(name)s, %(build)s, %(position)s, %(state)s)
ON CONFLICT (name, build) DO UPDATE SET
    position = excluded.position,
    state = excluded.state,
    saved_at = clock_timestamp();

-- name: find
-- A state beyond the checkpoint is of no use: the projection was reset.
SELECT
    position,
    state
FROM audit_trail.projection_state
WHERE name = %(name)s AND build = %(build)s AND position <= %(position)s;
