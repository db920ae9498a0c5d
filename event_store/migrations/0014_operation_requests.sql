-- What operators ask for on a page: a rebuild of a projection, or a decision on a dead letter. `serve` may only ask.
-- `project` carries out rebuilds, `ingest` decisions on dead letters, each with the rights that it has anyway.

CREATE TABLE audit_trail.operation_request (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    outcome_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('rebuild', 'requeue', 'dismiss')),
    target text NOT NULL CHECK (length(target) BETWEEN 1 AND 200),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000 AND reason ~ '[^[:space:]]'),
    requester_kind text NOT NULL CHECK (requester_kind ~ '^[a-z_]{1,32}$'),
    requester_id text NOT NULL CHECK (length(requester_id) BETWEEN 1 AND 512),
    requester_name text CHECK (length(requester_name) <= 512),
    requester_roles text[] NOT NULL CHECK (
        cardinality(requester_roles) <= 32 AND coalesce(array_ndims(requester_roles), 1) = 1
        AND array_position(requester_roles, NULL) IS NULL AND length(array_to_string(requester_roles, '')) <= 2048
    ),
    session text CHECK (length(session) <= 512),
    login text NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'running', 'done', 'failed')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    progress text NOT NULL DEFAULT '' CHECK (length(progress) <= 2000),
    result text CHECK (length(result) <= 2000),
    started_at timestamptz,
    finished_at timestamptz,
    published_at timestamptz,
    CHECK ((state IN ('done', 'failed')) = (finished_at IS NOT NULL)),
    CHECK ((finished_at IS NULL) = (result IS NULL)),
    CHECK (published_at IS NULL OR finished_at IS NOT NULL)
);
COMMENT ON TABLE audit_trail.operation_request IS 'What somebody asked for on a page, and what became of it.';
COMMENT ON COLUMN audit_trail.operation_request.event_id IS
    'The id of the event about the request, and outcome_id that of the event about its end: known before they are'
    ' published, so that publishing again doubles nothing.';
COMMENT ON COLUMN audit_trail.operation_request.requester_id IS
    'The person, as `serve` has authenticated them: whoever has its login can name anybody. login says which it was.';
COMMENT ON COLUMN audit_trail.operation_request.published_at IS 'When the trail got the event about the end.';

-- Of one projection, and of one dead letter, one request at a time is open.
CREATE UNIQUE INDEX operation_request_open ON audit_trail.operation_request ((kind = 'rebuild'), target)
WHERE state IN ('requested', 'running');
CREATE INDEX operation_request_unpublished ON audit_trail.operation_request (id)
WHERE published_at IS NULL AND finished_at IS NOT NULL;
CREATE INDEX operation_request_target ON audit_trail.operation_request (target, id);
CREATE INDEX operation_request_at ON audit_trail.operation_request (requested_at);

CREATE FUNCTION audit_trail.keep_request() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (new.id, new.event_id, new.outcome_id, new.kind, new.target, new.reason, new.requester_kind, new.requester_id,
            new.requester_name, new.requester_roles, new.session, new.login, new.requested_at)
        IS DISTINCT FROM
        (old.id, old.event_id, old.outcome_id, old.kind, old.target, old.reason, old.requester_kind, old.requester_id,
            old.requester_name, old.requester_roles, old.session, old.login, old.requested_at) THEN
        RAISE EXCEPTION 'a request does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    IF old.finished_at IS NOT NULL
        AND ((new.state, new.attempts, new.progress, new.result, new.started_at, new.finished_at)
                IS DISTINCT FROM
                (old.state, old.attempts, old.progress, old.result, old.started_at, old.finished_at)
            OR (old.published_at IS NOT NULL AND new.published_at IS DISTINCT FROM old.published_at)) THEN
        RAISE EXCEPTION 'the end of a request is written once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_request() FROM PUBLIC;
CREATE TRIGGER written_once BEFORE UPDATE ON audit_trail.operation_request
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_request();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.operation_request
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.operation_request
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

-- The one thing that the reader can write. Bounded, so that its login can fill no disk: at most 5 open requests of one
-- person, 20 of all, and 200 in an hour. AT002 is what the person can correct. Where persons have logins of the reader
-- too, the administrator creates the role audit_trail_requester: then its members alone can ask.
CREATE FUNCTION audit_trail.request_operation(
    wanted text, wanted_target text, why text, by_kind text, by_id text, by_name text, by_roles text[], by_session text
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    found bigint;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_trail_requester')
        AND NOT pg_has_role(session_user, 'audit_trail_requester', 'MEMBER') THEN
        RAISE EXCEPTION 'the login % is no member of audit_trail_requester, and can''t ask for anything', session_user
            USING ERRCODE = 'AT002';
    END IF;
    -- An older snapshot would count too few.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'ask in a transaction that is READ COMMITTED' USING ERRCODE = 'AT002';
    END IF;
    -- One at a time. No lock of the table: whoever never ends the transaction would stop the parts that do the work.
    PERFORM pg_advisory_xact_lock(hashtext('audit_trail.operation_request'));
    IF wanted = 'rebuild' THEN
        IF NOT EXISTS (SELECT FROM audit_trail.projection AS each WHERE each.name = wanted_target)
            OR EXISTS (SELECT FROM audit_trail.own_projection AS each WHERE each.name = wanted_target) THEN
            RAISE EXCEPTION 'there is no built-in projection of this name' USING ERRCODE = 'AT002';
        END IF;
    ELSIF wanted_target !~ '^[1-9][0-9]{0,17}$'
        OR NOT EXISTS (SELECT FROM audit_trail.dead_letter AS each WHERE each.id = wanted_target::bigint) THEN
        RAISE EXCEPTION 'there is no such dead letter' USING ERRCODE = 'AT002';
    END IF;
    SELECT each.id INTO found FROM audit_trail.operation_request AS each
    WHERE each.target = wanted_target AND (each.kind = 'rebuild') = (wanted = 'rebuild')
        AND each.state IN ('requested', 'running');
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'request % about the same is still open: wait until it has ended', found
            USING ERRCODE = 'AT002';
    END IF;
    IF (SELECT count(*) FROM audit_trail.operation_request AS each
        WHERE each.state IN ('requested', 'running') AND each.requester_id = by_id) >= 5 THEN
        RAISE EXCEPTION 'you have 5 open requests: wait until one has ended' USING ERRCODE = 'AT002';
    END IF;
    IF (SELECT count(*) FROM audit_trail.operation_request AS each
        WHERE each.state IN ('requested', 'running')) >= 20 THEN
        RAISE EXCEPTION 'there are 20 open requests: wait until one has ended' USING ERRCODE = 'AT002';
    END IF;
    IF (SELECT count(*) FROM audit_trail.operation_request AS each
        WHERE each.requested_at > clock_timestamp() - interval '1 hour') >= 200 THEN
        RAISE EXCEPTION 'there were 200 requests in the last hour: use the command line, or wait'
            USING ERRCODE = 'AT002';
    END IF;
    INSERT INTO audit_trail.operation_request
    (kind, target, reason, requester_kind, requester_id, requester_name, requester_roles, session)
    VALUES (wanted, wanted_target, why, by_kind, by_id, by_name, by_roles, by_session)
    RETURNING id INTO found;
    RETURN found;
END
$$;
REVOKE ALL ON FUNCTION
audit_trail.request_operation(text, text, text, text, text, text, text[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
audit_trail.request_operation(text, text, text, text, text, text, text[], text) TO audit_trail_reader;

-- Which process carries out the requests of a part. As with projection_holder, the session's advisory lock on `mark`
-- is what counts.
CREATE TABLE audit_trail.operation_worker (
    part text PRIMARY KEY CHECK (part IN ('project', 'ingest')),
    host text NOT NULL CHECK (length(host) <= 255),
    pid integer NOT NULL,
    backend integer NOT NULL,
    mark bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_trail.operation_worker IS 'Who carries out requests, and when it was last seen.';

-- What the guard has published where, and why a place did not take the newest head.
CREATE TABLE audit_trail.head_place (
    place text PRIMARY KEY CHECK (length(place) BETWEEN 1 AND 1000),
    size bigint CHECK (size >= 0),
    published_at timestamptz,
    problem text NOT NULL DEFAULT '' CHECK (length(problem) <= 2000),
    problem_since timestamptz,
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_trail.head_place IS 'The newest signed head that the guard has published, by place.';

-- How far the guard has verified the log, and why it could not do so the last time. What it found is in
-- integrity_finding, which pages show too.
CREATE TABLE audit_trail.log_verification (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint CHECK (size >= 0),
    verified_at timestamptz,
    all_size bigint CHECK (all_size >= 0),
    all_verified_at timestamptz,
    problem text NOT NULL DEFAULT '' CHECK (length(problem) <= 2000),
    problem_since timestamptz,
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL
);
COMMENT ON TABLE audit_trail.log_verification IS 'The one row about the newest verifications of the log by the guard.';
COMMENT ON COLUMN audit_trail.log_verification.size IS
    'Up to which size the newest verification that found nothing has read; all_size is that of the newest one that'
    ' read the log from its beginning.';
COMMENT ON COLUMN audit_trail.log_verification.due_at IS 'The guard is overdue if it has not verified again by then.';

GRANT SELECT
ON audit_trail.operation_request, audit_trail.operation_worker, audit_trail.head_place, audit_trail.log_verification
TO audit_trail_reader, audit_trail_ingest, audit_trail_projector, audit_trail_guard;
GRANT UPDATE (state, attempts, progress, result, started_at, finished_at, published_at)
ON audit_trail.operation_request TO audit_trail_ingest, audit_trail_projector;
GRANT INSERT, UPDATE ON audit_trail.operation_worker TO audit_trail_ingest, audit_trail_projector;
GRANT INSERT, UPDATE, DELETE ON audit_trail.head_place TO audit_trail_guard;
GRANT INSERT, UPDATE ON audit_trail.log_verification TO audit_trail_guard;
GRANT SELECT ON audit_trail.integrity_finding TO audit_trail_reader;

-- Each part changes its own rows alone.
ALTER TABLE audit_trail.operation_request ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_trail.operation_worker ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON audit_trail.operation_request FOR SELECT USING (true);
CREATE POLICY everybody_reads ON audit_trail.operation_worker FOR SELECT USING (true);
CREATE POLICY projector_rebuilds ON audit_trail.operation_request FOR UPDATE TO audit_trail_projector
USING (kind = 'rebuild');
CREATE POLICY ingest_decides ON audit_trail.operation_request FOR UPDATE TO audit_trail_ingest
USING (kind <> 'rebuild');
CREATE POLICY projector_works ON audit_trail.operation_worker FOR ALL TO audit_trail_projector
USING (part = 'project');
CREATE POLICY ingest_works ON audit_trail.operation_worker FOR ALL TO audit_trail_ingest USING (part = 'ingest');

-- Dead letters by reason and by topic, the newest first.
CREATE INDEX dead_letter_reason ON audit_trail.dead_letter (reason, id);
CREATE INDEX dead_letter_topic ON audit_trail.dead_letter (topic, id);
