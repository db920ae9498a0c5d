-- name: note
-- Sizes stay when a verification failed or found something; a problem keeps the time at which it began.
INSERT INTO audit_trail.log_verification AS known
(size, verified_at, all_size, all_verified_at, problem, problem_since, due_at)
VALUES (
    %(size)s::bigint, CASE WHEN %(size)s::bigint IS NOT NULL THEN now() END,
    %(all_size)s::bigint, CASE WHEN %(all_size)s::bigint IS NOT NULL THEN now() END,
    %(problem)s, CASE WHEN %(problem)s::text <> '' THEN clock_timestamp() END,
    clock_timestamp() + make_interval(secs => %(due_seconds)s)
)
ON CONFLICT (only_row) DO UPDATE SET
    size = coalesce(excluded.size, known.size),
    verified_at = coalesce(excluded.verified_at, known.verified_at),
    all_size = coalesce(excluded.all_size, known.all_size),
    all_verified_at = coalesce(excluded.all_verified_at, known.all_verified_at),
    problem = excluded.problem,
    problem_since = CASE
        WHEN excluded.problem <> '' THEN coalesce(known.problem_since, clock_timestamp())
    END,
    checked_at = clock_timestamp(),
    due_at = excluded.due_at;
