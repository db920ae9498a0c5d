-- name: mark
SELECT pg_try_advisory_lock(%(mark)s);

-- name: take
-- As in projections/builds/advisory_lock.sql: a holder counts while its session has the lock on its mark.
INSERT INTO audit_trail.operation_worker AS held (part, host, pid, backend, mark)
VALUES (%(part)s, %(host)s, %(pid)s, pg_backend_pid(), %(mark)s)
ON CONFLICT (part) DO UPDATE SET
    host = excluded.host,
    pid = excluded.pid,
    backend = excluded.backend,
    mark = excluded.mark,
    since = clock_timestamp(),
    seen_at = clock_timestamp()
WHERE
    NOT EXISTS (
        SELECT FROM pg_locks
        WHERE
            pg_locks.locktype = 'advisory'
            AND pg_locks.granted
            AND pg_locks.pid = held.backend
            AND pg_locks.objsubid = 1
            AND (pg_locks.classid::bigint << 32) | pg_locks.objid::bigint = held.mark
            AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    );

-- name: seen
UPDATE audit_trail.operation_worker SET seen_at = clock_timestamp() WHERE part = %(part)s AND mark = %(mark)s;
