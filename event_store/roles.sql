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
        'audit_trail_batch', 'audit_trail_custom_owner', 'audit_trail_watcher', 'audit_trail_forwarder',
        'audit_trail_context'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
        EXECUTE format('GRANT %I TO %I WITH ADMIN OPTION', name, owner);
    END LOOP;
END $$;
-- Personal data stays out of PostgreSQL's log: the driver sends values as part of the statement, and details of errors
-- quote rows. Only a superuser may set this; `audit-trail migrate` says what is missing.
DO $$
DECLARE
    parameter record;
BEGIN
    FOR parameter IN
        SELECT wanted.name, wanted.value
        FROM (
            VALUES
            ('log_min_error_statement', 'panic'), ('log_error_verbosity', 'terse'), ('log_statement', 'none'),
            ('log_min_duration_statement', '-1'), ('log_min_duration_sample', '-1'),
            ('log_transaction_sample_rate', '0')
        ) AS wanted (name, value)
    LOOP
        BEGIN
            EXECUTE format('ALTER DATABASE %I SET %I = ', current_database(), parameter.name)
                || quote_literal(parameter.value);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING USING MESSAGE = parameter.name || ' is not set for this database: let a superuser do it';
        END;
    END LOOP;
END $$;
