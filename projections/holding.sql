-- name: take
SELECT pg_try_advisory_lock(7021800, hashtext(%(name)s));

-- name: give_back
SELECT pg_advisory_unlock_all();

-- name: find_holder
SELECT
    work,
    host,
    pid,
    since
FROM audit_trail.projection_holder
WHERE name = %(name)s;

-- name: tell
INSERT INTO audit_trail.projection_holder (name, work, host, pid)
VALUES (%(name)s, %(work)s, %(host)s, %(pid)s)
ON CONFLICT (name) DO UPDATE SET
    work = excluded.work,
    host = excluded.host,
    pid = excluded.pid,
    since = clock_timestamp();
