-- Followers of the log: each sends the events that it may see to one receiver elsewhere, and remembers how far it is.
-- `forward` reads the log, and writes its followers' checkpoints and the decisions about them.

DO $$
BEGIN
    CREATE ROLE audit_trail_forwarder NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
    NULL;
END
$$;

CREATE TABLE audit_trail.follower (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    configuration jsonb NOT NULL CHECK (octet_length(configuration::text) <= 262144),
    destination text NOT NULL CHECK (length(destination) BETWEEN 1 AND 1000),
    start_from text NOT NULL CHECK (start_from IN ('now', 'beginning')),
    first_position bigint NOT NULL CHECK (first_position >= 0),
    position bigint NOT NULL CHECK (position >= first_position - 1),
    sent_position bigint CHECK (sent_position BETWEEN first_position AND position),
    sent bigint NOT NULL DEFAULT 0 CHECK (sent >= 0),
    sent_at timestamptz,
    paused_at timestamptz,
    removed_at timestamptz,
    problem text NOT NULL DEFAULT '' CHECK (length(problem) <= 2000),
    problem_since timestamptz,
    failed_position bigint CHECK (failed_position > position),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((problem = '') = (problem_since IS NULL)),
    CHECK (failed_position IS NULL OR problem <> '')
);
COMMENT ON TABLE audit_trail.follower IS 'The followers of the log that send it elsewhere, and how far each is.';
COMMENT ON COLUMN audit_trail.follower.configuration IS
    'What the file says of it, without secrets: shows at the next start what has changed.';
COMMENT ON COLUMN audit_trail.follower.position IS
    'The checkpoint: up to here the receiver has confirmed every record that is for it, or an operator skipped it.';
COMMENT ON COLUMN audit_trail.follower.sent_position IS
    'The last record for the receiver, sent or skipped: the next record names it, so that the receiver sees gaps.';
COMMENT ON COLUMN audit_trail.follower.failed_position IS
    'The record that the receiver refuses for good. The follower stands still until the receiver takes it or an'
    ' operator skips it.';
COMMENT ON COLUMN audit_trail.follower.removed_at IS
    'When the file no longer named it. Under the same name it continues from its checkpoint.';

-- A checkpoint never goes back, and a follower keeps the beginning that it was created with.
CREATE FUNCTION audit_trail.keep_follower() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (new.name, new.start_from, new.first_position, new.created_at)
        IS DISTINCT FROM (old.name, old.start_from, old.first_position, old.created_at)
        OR new.position < old.position OR new.sent < old.sent
        OR coalesce(new.sent_position, -1) < coalesce(old.sent_position, -1) THEN
        RAISE EXCEPTION 'a checkpoint does not go back' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_follower() FROM PUBLIC;
CREATE TRIGGER goes_forward BEFORE UPDATE ON audit_trail.follower
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_follower();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.follower
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.follower
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

-- Every decision about a follower, and which of them the trail has as an event. A follower sends nothing while the
-- trail lacks one.
CREATE TABLE audit_trail.follower_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    follower text NOT NULL REFERENCES audit_trail.follower (name),
    operation text NOT NULL CHECK (
        operation IN ('added', 'changed', 'redirected', 'removed', 'paused', 'resumed', 'skipped')
    ),
    decided_by text CHECK (length(decided_by) BETWEEN 1 AND 256),
    reason text CHECK (length(reason) BETWEEN 1 AND 65536),
    details jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(details::text) <= 524288),
    login text NOT NULL DEFAULT session_user,
    event_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    decided_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    published_at timestamptz,
    CHECK ((decided_by IS NULL) = (reason IS NULL)),
    CHECK (decided_by IS NOT NULL OR operation = 'removed')
);
COMMENT ON TABLE audit_trail.follower_change IS 'What was decided about followers, by whom and why.';
COMMENT ON COLUMN audit_trail.follower_change.decided_by IS
    'As the file or the command line says. NULL when a follower is no longer in the file, which names nobody.';
COMMENT ON COLUMN audit_trail.follower_change.event_id IS
    'The id of the event: known before it is published, so that publishing again doubles nothing.';
CREATE INDEX follower_change_unpublished ON audit_trail.follower_change (id) WHERE published_at IS NULL;
CREATE INDEX follower_change_follower ON audit_trail.follower_change (follower, id);

CREATE FUNCTION audit_trail.keep_follower_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (to_jsonb(new) - 'published_at') IS DISTINCT FROM (to_jsonb(old) - 'published_at')
        OR (old.published_at IS NOT NULL AND new.published_at IS DISTINCT FROM old.published_at) THEN
        RAISE EXCEPTION 'a decision about a follower does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_follower_change() FROM PUBLIC;
CREATE TRIGGER written_once BEFORE UPDATE ON audit_trail.follower_change
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_follower_change();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.follower_change
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.follower_change
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

GRANT USAGE ON SCHEMA audit_trail TO audit_trail_forwarder;
GRANT SELECT ON audit_trail.event, audit_trail.log_state, audit_trail.tile, audit_trail.tree_head,
    audit_trail.cosignature, audit_trail.migration TO audit_trail_forwarder;
GRANT SELECT ON audit_trail.follower, audit_trail.follower_change
TO audit_trail_forwarder, audit_trail_reader, audit_trail_guard, audit_trail_ingest;
GRANT INSERT ON audit_trail.follower, audit_trail.follower_change TO audit_trail_forwarder;
GRANT UPDATE (configuration, destination, position, sent_position, sent, sent_at, paused_at, removed_at, problem,
    problem_since, failed_position, changed_at) ON audit_trail.follower TO audit_trail_forwarder;
GRANT UPDATE (published_at) ON audit_trail.follower_change TO audit_trail_forwarder;

-- Of two processes one waits: see event_store/part_lock.py.
ALTER TABLE audit_trail.operation_worker DROP CONSTRAINT operation_worker_part_check;
ALTER TABLE audit_trail.operation_worker ADD CONSTRAINT operation_worker_part_check
CHECK (part IN ('project', 'ingest', 'watch', 'forward'));
GRANT SELECT, INSERT, UPDATE ON audit_trail.operation_worker TO audit_trail_forwarder;
CREATE POLICY forwarder_works ON audit_trail.operation_worker FOR ALL TO audit_trail_forwarder USING (part = 'forward');
