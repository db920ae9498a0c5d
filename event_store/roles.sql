-- The roles of Audit Trail, and the right of the owner of the database to work with them. An administrator runs this
-- once for each owner, before `audit-trail migrate`. It can be run again.
-- Any login can take this advisory lock, so the wait for it is bounded.
SET lock_timeout = '10s';
DO $$
DECLARE
    owner CONSTANT text := 'trail_owner';
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_trail.roles'));
    FOREACH name IN ARRAY ARRAY[
        'audit_trail_ingest', 'audit_trail_projector', 'audit_trail_reader', 'audit_trail_guard', 'audit_trail_analyst',
        'audit_trail_batch', 'audit_trail_custom_owner'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
        EXECUTE format('GRANT %I TO %I WITH ADMIN OPTION', name, owner);
    END LOOP;
END $$;
