-- Records that a receiver refuses for good, and that its follower has left behind: a follower with
-- `on_refusal = "keep"` goes on, and an operator decides. The record itself is in the log.

CREATE TABLE audit_trail.follower_refusal (
    follower text NOT NULL REFERENCES audit_trail.follower (name),
    position bigint NOT NULL CHECK (position >= 0),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 1 CHECK (attempts > 0),
    requeued_at timestamptz,
    outcome text CHECK (outcome IN ('sent', 'dismissed')),
    ended_at timestamptz,
    PRIMARY KEY (follower, position),
    CHECK ((outcome IS NULL) = (ended_at IS NULL)),
    CHECK (outcome IS NULL OR requeued_at IS NULL)
);
COMMENT ON TABLE audit_trail.follower_refusal IS
    'Records that a receiver refused for good, kept until an operator has decided about them.';
COMMENT ON COLUMN audit_trail.follower_refusal.requeued_at IS
    'When an operator wanted it sent again; NULL before that, and when it is refused once more.';

CREATE INDEX follower_refusal_open ON audit_trail.follower_refusal (follower, position) WHERE outcome IS NULL;

CREATE FUNCTION audit_trail.keep_follower_refusal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF old.outcome IS NOT NULL OR new.attempts < old.attempts
        OR (new.follower, new.position) IS DISTINCT FROM (old.follower, old.position) THEN
        RAISE EXCEPTION 'a refusal that has ended does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_follower_refusal() FROM PUBLIC;
CREATE TRIGGER ends_once BEFORE UPDATE ON audit_trail.follower_refusal
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_follower_refusal();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.follower_refusal
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.follower_refusal
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

ALTER TABLE audit_trail.follower_change DROP CONSTRAINT follower_change_operation_check;
ALTER TABLE audit_trail.follower_change ADD CONSTRAINT follower_change_operation_check CHECK (
    operation IN (
        'added', 'changed', 'redirected', 'removed', 'paused', 'resumed', 'skipped', 'requeued', 'dismissed'
    )
);

GRANT SELECT ON audit_trail.follower_refusal
TO audit_trail_forwarder, audit_trail_reader, audit_trail_guard, audit_trail_ingest;
GRANT INSERT (follower, position, reason) ON audit_trail.follower_refusal TO audit_trail_forwarder;
GRANT UPDATE (reason, refused_at, attempts, requeued_at, outcome, ended_at) ON audit_trail.follower_refusal
TO audit_trail_forwarder;
