-- name: bookkeeping
CREATE SCHEMA IF NOT EXISTS audit_trail;
CREATE TABLE IF NOT EXISTS audit_trail.migration (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: has_bookkeeping
SELECT to_regclass('audit_trail.migration') IS NOT NULL;

-- name: applied
SELECT name, sha256 FROM audit_trail.migration;

-- name: record
INSERT INTO audit_trail.migration (name, sha256) VALUES (%(name)s, %(sha256)s);

-- name: database_rights
-- Applied at every `migrate`, because neither a dump nor a template contains the rights on the database itself.
DO $$
DECLARE
    statement text;
BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO audit_trail_projector', current_database());
    -- By default PostgreSQL lets every role create temporary tables, and functions in their schema. Only two roles need
    -- them: the projector, and the owner of the tables of custom projections, which has no login.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC, audit_trail_analyst', current_database());
    EXECUTE format(
        'GRANT TEMPORARY ON DATABASE %I TO audit_trail_projector, audit_trail_custom_owner', current_database()
    );
    -- Before PostgreSQL 15 every role could create objects in the schema public.
    IF to_regnamespace('public') IS NOT NULL THEN
        IF pg_has_role((SELECT nspowner FROM pg_namespace WHERE nspname = 'public'), 'USAGE') THEN
            REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        END IF;
    END IF;
    -- By default every role may store large objects. Only a superuser can revoke that.
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR statement IN
            SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function.oid::regprocedure)
            FROM pg_proc AS function
            WHERE
                function.pronamespace = 'pg_catalog'::regnamespace
                AND function.proname IN (
                    'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_put', 'lo_truncate', 'lo_truncate64', 'lo_unlink',
                    'lowrite'
                )
                AND (
                    function.proacl IS NULL
                    OR EXISTS (SELECT FROM aclexplode(function.proacl) AS privilege WHERE privilege.grantee = 0)
                )
        LOOP
            EXECUTE statement;
        END LOOP;
    END IF;
END
$$;

-- name: one_at_a_time
-- Serialises migrating processes. A role that can only read the table can take neither this lock nor one that blocks
-- it.
LOCK TABLE audit_trail.migration IN EXCLUSIVE MODE;

-- name: patience
-- A waiting ALTER TABLE blocks all later statements on the table, so it waits briefly; the migration is retried.
SET LOCAL lock_timeout = '2s';

-- name: open_transactions
-- The other sessions that hold a lock on a table of Audit Trail.
SELECT DISTINCT
    pg_stat_activity.usename::text,
    pg_stat_activity.pid
FROM pg_locks
INNER JOIN pg_class ON pg_locks.relation = pg_class.oid
INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
INNER JOIN pg_stat_activity ON pg_locks.pid = pg_stat_activity.pid
WHERE
    pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND pg_namespace.nspname = 'audit_trail'
    AND pg_class.relkind IN ('r', 'p')
    AND pg_locks.granted
    AND pg_locks.pid <> pg_backend_pid()
ORDER BY pg_stat_activity.pid ASC;
