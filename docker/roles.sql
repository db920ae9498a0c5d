-- One login for each part, and the rights that `audit-trail migrate` needs. A superuser runs this in the database of
-- Audit Trail. It can be run again, also to change passwords. docker/roles.sh passes the passwords.

-- Any login can take this advisory lock, so the wait for it is bounded.
SET lock_timeout = '10s';
DO $$
DECLARE
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('audit_trail.roles'));
    FOREACH name IN ARRAY ARRAY[
        'trail_owner', 'trail_ingest', 'trail_project', 'trail_serve', 'trail_guard', 'trail_watch', 'trail_forward'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
        EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
    END LOOP;
    -- The owner creates a role for each custom projection, within audit_trail_analyst.
    ALTER ROLE trail_owner CREATEROLE;
    EXECUTE format('ALTER DATABASE %I OWNER TO trail_owner', current_database());
END $$;

-- What `audit-trail migrate --print-roles` prints. A test compares.
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
-- The end of what is printed.

DO $$
BEGIN
    GRANT audit_trail_ingest TO trail_ingest;
    GRANT audit_trail_projector TO trail_project;
    GRANT audit_trail_reader TO trail_serve;
    GRANT audit_trail_guard TO trail_guard;
    GRANT audit_trail_watcher TO trail_watch;
    GRANT audit_trail_forwarder TO trail_forward;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO audit_trail_ingest, audit_trail_projector, audit_trail_reader,'
        ' audit_trail_guard, audit_trail_watcher, audit_trail_forwarder, audit_trail_context, audit_trail_analyst',
        current_database()
    );
END $$;

-- Keep passwords out of the log, even when a statement fails.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET password_encryption = 'scram-sha-256';
ALTER ROLE trail_owner PASSWORD :'owner_password';
ALTER ROLE trail_ingest PASSWORD :'ingest_password';
ALTER ROLE trail_project PASSWORD :'project_password';
ALTER ROLE trail_serve PASSWORD :'serve_password';
ALTER ROLE trail_guard PASSWORD :'guard_password';
ALTER ROLE trail_watch PASSWORD :'watch_password';
ALTER ROLE trail_forward PASSWORD :'forward_password';
