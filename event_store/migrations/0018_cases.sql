-- Commands about cases and suppressions. `serve` stores them; `ingest`, which alone may append, carries them out.

CREATE TABLE audit_trail.case_command (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    target uuid NOT NULL,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,32}$'),
    body jsonb NOT NULL CHECK (jsonb_typeof(body) = 'object' AND octet_length(body::text) <= 600000),
    requester_kind text NOT NULL CHECK (requester_kind ~ '^[a-z_]{1,32}$'),
    requester_id text NOT NULL CHECK (length(requester_id) BETWEEN 1 AND 256),
    requester_name text CHECK (length(requester_name) <= 1024),
    requester_roles text[] NOT NULL CHECK (
        cardinality(requester_roles) <= 32 AND coalesce(array_ndims(requester_roles), 1) = 1
        AND array_position(requester_roles, NULL) IS NULL AND length(array_to_string(requester_roles, '')) <= 2048
    ),
    requester_actors text[] NOT NULL CHECK (
        cardinality(requester_actors) <= 256 AND coalesce(array_ndims(requester_actors), 1) = 1
        AND array_position(requester_actors, NULL) IS NULL AND length(array_to_string(requester_actors, '')) <= 65536
    ),
    session text CHECK (length(session) <= 512),
    login text NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    outcome text CHECK (outcome IN ('done', 'refused', 'denied', 'failed')),
    error text CHECK (length(error) BETWEEN 1 AND 2000),
    field text CHECK (length(field) <= 256),
    position bigint CHECK (position >= 0),
    completed_at timestamptz,
    CHECK ((outcome IS NULL) = (completed_at IS NULL)),
    CHECK ((outcome IS NULL OR outcome = 'done') = (error IS NULL)),
    CHECK (position IS NULL OR outcome = 'done')
);
COMMENT ON TABLE audit_trail.case_command IS 'What somebody wants to do about a case, and what became of it.';
COMMENT ON COLUMN audit_trail.case_command.id IS
    'The idempotency key, which the events have too: a command that was cut off before its outcome is not done twice.';
COMMENT ON COLUMN audit_trail.case_command.target IS 'The id of the case or suppression.';
COMMENT ON COLUMN audit_trail.case_command.requester_id IS
    'The person, as `serve` has authenticated them: whoever has its login can name anybody. login says which it was.';
COMMENT ON COLUMN audit_trail.case_command.position IS 'Where the log has the event of a command that was done.';

CREATE INDEX case_command_open ON audit_trail.case_command (number) WHERE outcome IS NULL;
CREATE INDEX case_command_requester ON audit_trail.case_command (requester_id) WHERE outcome IS NULL;
CREATE INDEX case_command_at ON audit_trail.case_command (requested_at);

CREATE FUNCTION audit_trail.keep_case_command() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF old.outcome IS NOT NULL
        OR (to_jsonb(new) - ARRAY['outcome', 'error', 'field', 'position', 'completed_at']) IS DISTINCT FROM
        (to_jsonb(old) - ARRAY['outcome', 'error', 'field', 'position', 'completed_at']) THEN
        RAISE EXCEPTION 'a command does not change, and its outcome is written once'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_case_command() FROM PUBLIC;
CREATE TRIGGER written_once BEFORE UPDATE ON audit_trail.case_command
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_case_command();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.case_command
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.case_command
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

-- As audit_trail.request_operation: bounded, so that the login of the reader can fill no disk. At most 20 open commands
-- of one person, 200 of all, and 5,000 in an hour. AT002 is what the person can correct.
CREATE FUNCTION audit_trail.submit_case_command(
    wanted uuid, wanted_target uuid, wanted_kind text, wanted_body jsonb, by_kind text, by_id text, by_name text,
    by_roles text[], by_actors text[], by_session text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_trail_requester')
        AND NOT pg_has_role(session_user, 'audit_trail_requester', 'MEMBER') THEN
        RAISE EXCEPTION 'the login % is no member of audit_trail_requester, and can''t give commands', session_user
            USING ERRCODE = 'AT002';
    END IF;
    -- An older snapshot would count too few.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'give commands in a transaction that is READ COMMITTED' USING ERRCODE = 'AT002';
    END IF;
    -- One at a time. No lock of the table: whoever never ends the transaction would stop the part that does the work.
    PERFORM pg_advisory_xact_lock(hashtext('audit_trail.case_command'));
    IF EXISTS (SELECT FROM audit_trail.case_command AS each WHERE each.id = wanted) THEN
        IF NOT EXISTS (
            SELECT FROM audit_trail.case_command AS each
            WHERE each.id = wanted AND each.target = wanted_target AND each.kind = wanted_kind
                AND each.body = wanted_body AND each.requester_id = by_id
        ) THEN
            RAISE EXCEPTION 'this command id was used for another command: choose a new one' USING ERRCODE = 'AT002';
        END IF;
        RETURN;
    END IF;
    IF (SELECT count(*) FROM audit_trail.case_command AS each
        WHERE each.outcome IS NULL AND each.requester_id = by_id) >= 20 THEN
        RAISE EXCEPTION 'you have 20 open commands: wait until one is done' USING ERRCODE = 'AT002';
    END IF;
    IF (SELECT count(*) FROM audit_trail.case_command AS each WHERE each.outcome IS NULL) >= 200 THEN
        RAISE EXCEPTION 'there are 200 open commands: wait until one is done' USING ERRCODE = 'AT002';
    END IF;
    IF (SELECT count(*) FROM audit_trail.case_command AS each
        WHERE each.requested_at > clock_timestamp() - interval '1 hour') >= 5000 THEN
        RAISE EXCEPTION 'there were 5,000 commands in the last hour: wait' USING ERRCODE = 'AT002';
    END IF;
    INSERT INTO audit_trail.case_command
    (id, target, kind, body, requester_kind, requester_id, requester_name, requester_roles, requester_actors, session)
    VALUES (wanted, wanted_target, wanted_kind, wanted_body, by_kind, by_id, by_name, by_roles, by_actors, by_session);
END
$$;
REVOKE ALL ON FUNCTION
audit_trail.submit_case_command(uuid, uuid, text, jsonb, text, text, text, text[], text[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
audit_trail.submit_case_command(uuid, uuid, text, jsonb, text, text, text, text[], text[], text)
TO audit_trail_reader;

-- The texts of a command are for those who carry it out; `serve` reads them from the read model, once they are events.
GRANT SELECT (number, id, target, kind, requester_kind, requester_id, requester_name, session, login, requested_at,
    outcome, error, field, position, completed_at) ON audit_trail.case_command TO audit_trail_reader;
GRANT SELECT ON audit_trail.case_command TO audit_trail_ingest, audit_trail_guard;
GRANT UPDATE (outcome, error, field, position, completed_at) ON audit_trail.case_command TO audit_trail_ingest;

-- Of two processes one waits: see event_store/part_lock.py.
ALTER TABLE audit_trail.operation_worker DROP CONSTRAINT operation_worker_part_check;
ALTER TABLE audit_trail.operation_worker ADD CONSTRAINT operation_worker_part_check
CHECK (part IN ('project', 'ingest', 'watch', 'forward', 'detect', 'cases'));
CREATE POLICY ingest_works_on_cases ON audit_trail.operation_worker FOR ALL TO audit_trail_ingest
USING (part = 'cases');
