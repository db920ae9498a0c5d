-- name: mark
-- Held as long as the session lives. Nobody knows the number before, so nobody can have its lock already.
SELECT pg_try_advisory_lock(%(mark)s);

-- name: take
-- The row decides, and only the projection's own roles may write it. A holder counts while the session that it names
-- has the lock on its mark; the same lock in another session says nothing.
INSERT INTO audit_trail.projection_holder AS held (name, work, host, pid, backend, mark)
VALUES (%(name)s, %(work)s, %(host)s, %(pid)s, pg_backend_pid(), %(mark)s)
ON CONFLICT (name) DO UPDATE SET
    work = excluded.work,
    host = excluded.host,
    pid = excluded.pid,
    backend = excluded.backend,
    mark = excluded.mark,
    since = clock_timestamp()
WHERE
    held.backend = pg_backend_pid()
    OR NOT EXISTS (
        SELECT FROM pg_locks
        WHERE
            pg_locks.locktype = 'advisory'
            AND pg_locks.granted
            AND pg_locks.pid = held.backend
            AND pg_locks.objsubid = 1
            AND (pg_locks.classid::bigint << 32) | pg_locks.objid::bigint = held.mark
            AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    );

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

-- name: patience
-- A session that keeps a row of the projection locked is told of, and not waited for.
SET lock_timeout = '5s';

-- name: bounded
SET LOCAL lock_timeout = '10s';
