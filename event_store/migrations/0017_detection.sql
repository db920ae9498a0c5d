-- Detection in the projection runner: the state of projections that need all events before, the sets of rules and
-- when each began to count, and which alerts the trail has as events.

-- A projection with a state keeps it here now and then, in the transaction of its rows. After a restart it goes on from
-- here, and reads again what came between here and its checkpoint.
CREATE TABLE audit_trail.projection_state (
    name text NOT NULL,
    build integer NOT NULL,
    position bigint NOT NULL CHECK (position >= -1),
    state bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, build),
    FOREIGN KEY (name, build) REFERENCES audit_trail.projection ON DELETE CASCADE
);
ALTER TABLE audit_trail.projection_state ALTER COLUMN state SET STORAGE EXTENDED;
COMMENT ON COLUMN audit_trail.projection_state.position IS 'The last position that the state covers.';

-- The texts of rules, once for each set. A rebuild needs the old ones.
CREATE TABLE audit_trail.rule_set (
    digest text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    documents jsonb NOT NULL CHECK (octet_length(documents::text) <= 67108864),
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN audit_trail.rule_set.documents IS 'Pairs of file name and text.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail.rule_set
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.rule_set
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

-- The decision that a set of rules counts. It counts from the position of its event on.
CREATE TABLE audit_trail.rule_activation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    digest text NOT NULL REFERENCES audit_trail.rule_set (digest),
    details jsonb NOT NULL CHECK (octet_length(details::text) <= 1048576),
    decided_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    published_at timestamptz
);
COMMENT ON COLUMN audit_trail.rule_activation.details IS
    'What changed since the activation before: rules added, changed, removed, and switched off by whom and why.';
CREATE INDEX rule_activation_unpublished ON audit_trail.rule_activation (id) WHERE published_at IS NULL;

CREATE FUNCTION audit_trail.keep_rule_activation() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (to_jsonb(new) - 'published_at') IS DISTINCT FROM (to_jsonb(old) - 'published_at')
        OR (old.published_at IS NOT NULL AND new.published_at IS DISTINCT FROM old.published_at) THEN
        RAISE EXCEPTION 'the activation of a set of rules does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_rule_activation() FROM PUBLIC;
CREATE TRIGGER written_once BEFORE UPDATE ON audit_trail.rule_activation
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_rule_activation();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.rule_activation
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.rule_activation
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

-- The alerts that the trail has as events. The tables of alerts are made anew by a rebuild; this stays.
CREATE TABLE audit_trail.alert_publication (
    alert_id uuid PRIMARY KEY,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail.alert_publication
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.alert_publication
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

GRANT SELECT, INSERT, UPDATE, DELETE ON audit_trail.projection_state TO audit_trail_projector;
GRANT SELECT, INSERT ON audit_trail.rule_set, audit_trail.alert_publication TO audit_trail_projector;
GRANT SELECT, INSERT, UPDATE (published_at) ON audit_trail.rule_activation TO audit_trail_projector;
GRANT SELECT ON audit_trail.rule_set, audit_trail.rule_activation, audit_trail.alert_publication
TO audit_trail_reader, audit_trail_guard, audit_trail_ingest;

-- Of two processes one activates rules and publishes alerts: see event_store/part_lock.py.
ALTER TABLE audit_trail.operation_worker DROP CONSTRAINT operation_worker_part_check;
ALTER TABLE audit_trail.operation_worker ADD CONSTRAINT operation_worker_part_check
CHECK (part IN ('project', 'ingest', 'watch', 'forward', 'detect'));
CREATE POLICY projector_detects ON audit_trail.operation_worker FOR ALL TO audit_trail_projector
USING (part = 'detect');

-- The name of the projection belongs to Audit Trail now.
CREATE OR REPLACE FUNCTION audit_trail.is_reserved_name(wanted text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN wanted ~ '^(activity|detection|device|patient|service|user)(_[vb][0-9]+)*$';
END
$$;
DO $$
BEGIN
    IF EXISTS (SELECT FROM audit_trail.own_projection WHERE audit_trail.is_reserved_name(name)) THEN
        RAISE EXCEPTION 'a custom projection has the name detection, which is now that of a built-in one. Remove it with the'
            ' program of the release before, then migrate again';
    END IF;
END
$$;
