-- sqlfluff:dialect:sqlite
-- name: latest
SELECT size, root, note FROM latest WHERE origin = :origin;

-- name: count_logs
SELECT count(*) FROM latest;

-- name: note
SELECT note FROM latest WHERE origin_hash = :origin_hash;

-- name: remember
-- The triggers refuse a tree that is smaller, or as large and different.
INSERT INTO latest (origin, origin_hash, size, root, note, cosigned_at)
VALUES (:origin, :origin_hash, :size, :root, :note, :cosigned_at)
ON CONFLICT (origin) DO UPDATE SET
size = excluded.size, root = excluded.root, note = excluded.note, cosigned_at = excluded.cosigned_at;

-- name: contradictions
SELECT known_note, note, reason FROM contradictions WHERE origin = :origin ORDER BY refused_at, size, root;

-- name: count_contradictions
-- Those of the same size prove two histories; the others may be wrong proofs. Each kind has its own limit.
SELECT count(*) FROM contradictions WHERE origin = :origin AND (size = known_size) = :certain;

-- name: keep_contradiction
INSERT INTO contradictions (origin, size, root, note, known_size, known_note, reason, refused_at)
VALUES (:origin, :size, :root, :note, :known_size, :known_note, :reason, :refused_at)
ON CONFLICT DO NOTHING;
