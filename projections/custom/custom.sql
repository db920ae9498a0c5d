-- name: take_source
UPDATE audit_trail.projection
SET code_digest = %(code_digest)s
WHERE name = %(name)s AND build = %(build)s;

-- name: begin
SELECT audit_trail.own_projection(%(name)s);

-- name: is_custom
SELECT EXISTS (SELECT FROM audit_trail.own_projection WHERE name = %(name)s);

-- name: remove
SELECT audit_trail.remove_own_projection(%(name)s);
