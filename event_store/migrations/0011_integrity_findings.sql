-- What the guard has found. A finding stays open until its own cause is gone or an operator closes it, also across
-- restarts of the guard. The trail has its events; this table says which of them are still to be published.

CREATE TABLE audit_trail.integrity_finding (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "check" text NOT NULL CHECK ("check" IN ('publish', 'verify')),
    place text NOT NULL,
    cause text NOT NULL,
    certainty text NOT NULL CHECK (certainty IN ('fact', 'claim')),
    what text NOT NULL,
    position bigint,
    log_size bigint NOT NULL,
    head_size bigint,
    head_root bytea CHECK (octet_length(head_root) = 32),
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen bigint NOT NULL DEFAULT 1,
    kind text NOT NULL,
    event_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    reported_at timestamptz,
    closed_at timestamptz,
    closed_by text CHECK (closed_by <> ''),
    close_reason text CHECK (close_reason <> ''),
    answer_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    answered_at timestamptz,
    CHECK ((head_size IS NULL) = (head_root IS NULL)),
    CHECK (closed_at IS NOT NULL OR (closed_by IS NULL AND close_reason IS NULL)),
    CHECK ((closed_by IS NULL) = (close_reason IS NULL))
);
COMMENT ON TABLE audit_trail.integrity_finding IS
    'What the guard has found, by check, place and cause. closed_by is NULL when the cause went away by itself.';
COMMENT ON COLUMN audit_trail.integrity_finding.certainty IS
    'fact: proved by the log itself or by a head that its key signed. claim: somebody says so and gives no proof.';
COMMENT ON COLUMN audit_trail.integrity_finding.head_root IS
    'The signed head that the log does not continue. The cause is not gone while the log does not continue it.';
COMMENT ON COLUMN audit_trail.integrity_finding.kind IS
    'Findings that differ by numbers alone have one kind: the trail gets one event of a kind an hour.';
COMMENT ON COLUMN audit_trail.integrity_finding.event_id IS
    'The id of the event about the finding, and answer_id that of the event about its end: known before they are'
    ' published, so that publishing again doubles nothing.';

CREATE UNIQUE INDEX integrity_finding_open ON audit_trail.integrity_finding ("check", place, cause)
WHERE closed_at IS NULL;
CREATE INDEX integrity_finding_unpublished ON audit_trail.integrity_finding (id)
WHERE reported_at IS NULL OR (closed_at IS NOT NULL AND answered_at IS NULL);
CREATE INDEX integrity_finding_kind ON audit_trail.integrity_finding (kind, reported_at);

-- The guard may update a finding's progress. Its end and its reports are written once.
CREATE FUNCTION audit_trail.refuse_reopening() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (old.closed_at IS NOT NULL
            AND (new.closed_at, new.closed_by, new.close_reason)
            IS DISTINCT FROM (old.closed_at, old.closed_by, old.close_reason))
        OR (old.reported_at IS NOT NULL AND new.reported_at IS DISTINCT FROM old.reported_at)
        OR (old.answered_at IS NOT NULL AND new.answered_at IS DISTINCT FROM old.answered_at) THEN
        RAISE EXCEPTION 'the end of a finding is written once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.refuse_reopening() FROM PUBLIC;
CREATE TRIGGER written_once BEFORE UPDATE ON audit_trail.integrity_finding
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_reopening();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.integrity_finding
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.integrity_finding
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

GRANT SELECT, INSERT ON audit_trail.integrity_finding TO audit_trail_guard;
GRANT UPDATE (last_seen, seen, reported_at, closed_at, closed_by, close_reason, answered_at)
ON audit_trail.integrity_finding TO audit_trail_guard;
