-- name: state
SELECT size, root, edge FROM audit_trail.log_state;

-- name: tiles
SELECT tile.level, tile.index, tile."hashes"
FROM unnest(%(levels)s::smallint [], %(indexes)s::bigint []) AS wanted (level, index)
INNER JOIN audit_trail.tile ON tile.level = wanted.level AND tile.index = wanted.index;
