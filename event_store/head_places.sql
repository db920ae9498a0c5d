-- name: note
-- `published_at` moves with the size alone; a problem keeps the time at which it began.
INSERT INTO audit_trail.head_place AS known (place, size, published_at, problem, problem_since)
VALUES (
    %(place)s, %(size)s::bigint, CASE WHEN %(size)s::bigint IS NOT NULL THEN clock_timestamp() END,
    %(problem)s, CASE WHEN %(problem)s::text <> '' THEN clock_timestamp() END
)
ON CONFLICT (place) DO UPDATE SET
    size = coalesce(excluded.size, known.size),
    published_at = CASE
        WHEN excluded.size IS DISTINCT FROM known.size THEN coalesce(excluded.published_at, known.published_at)
        ELSE known.published_at
    END,
    problem = excluded.problem,
    problem_since = CASE
        WHEN excluded.problem <> '' THEN coalesce(known.problem_since, clock_timestamp())
    END,
    checked_at = clock_timestamp();

-- name: forget
DELETE FROM audit_trail.head_place WHERE place <> ALL(%(places)s);
