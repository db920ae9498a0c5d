-- name: delete_build
DELETE FROM audit_trail.projection
WHERE name = %(name)s AND build = %(build)s AND NOT live;

-- name: open_transactions
-- The virtual transactions of the other sessions of this database whose login may read the build: as a reader or a
-- projector, or in the role of its custom projection. A transaction locks itself as long as it runs. Nobody waits for
-- an analyst's session that can't read the build.
SELECT pg_locks.virtualxid
FROM pg_locks
INNER JOIN pg_stat_activity ON pg_locks.pid = pg_stat_activity.pid
WHERE
    pg_locks.locktype = 'virtualxid'
    AND pg_locks.granted
    AND pg_locks.pid <> pg_backend_pid()
    AND pg_stat_activity.datname = current_database()
    AND EXISTS (
        SELECT FROM pg_roles
        WHERE
            pg_roles.rolname IN ('audit_trail_reader', 'audit_trail_projector', 'audit_trail_own_' || %(name)s)
            AND pg_has_role(pg_stat_activity.usesysid, pg_roles.oid, 'MEMBER')
    );

-- name: still_open
SELECT count(*)
FROM pg_locks
WHERE locktype = 'virtualxid' AND granted AND virtualxid = ANY(%(open)s);
