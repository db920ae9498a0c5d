-- The watcher: what it knows of each target, and the events that the trail does not have yet. So a restart reports
-- nothing twice, and a kill between a decision and its event loses nothing.

DO $$
BEGIN
    CREATE ROLE audit_trail_watcher NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
    NULL;
END
$$;

CREATE TABLE audit_trail.watch_target (
    name text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 200),
    id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    watched boolean NOT NULL DEFAULT true,
    service text NOT NULL CHECK (length(service) BETWEEN 1 AND 256),
    owner text NOT NULL DEFAULT '' CHECK (length(owner) <= 1000),
    kind text NOT NULL CHECK (kind ~ '^[a-z]{1,32}$'),
    interval_seconds double precision NOT NULL CHECK (interval_seconds > 0),
    state text NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'up', 'down')),
    since timestamptz,
    checked_at timestamptz,
    error text CHECK (error ~ '^[a-z_]{1,64}$'),
    reason text CHECK (length(reason) <= 1000),
    recent text NOT NULL DEFAULT '' CHECK (recent ~ '^[01]{0,100}$'),
    failed_at timestamptz [] NOT NULL DEFAULT '{}' CHECK (cardinality(failed_at) <= 100),
    failing_since timestamptz,
    failures bigint NOT NULL DEFAULT 0 CHECK (failures >= 0),
    outage uuid,
    incarnation text CHECK (length(incarnation) BETWEEN 1 AND 256),
    transitions bigint NOT NULL DEFAULT 0 CHECK (transitions >= 0),
    CHECK ((state = 'down') = (failing_since IS NOT NULL)),
    CHECK ((state = 'down') = (outage IS NOT NULL)),
    CHECK ((error IS NULL) = (reason IS NULL))
);
COMMENT ON TABLE audit_trail.watch_target IS
    'What the watcher knows of each target. A target that the file no longer names keeps its row, and is not watched.';
COMMENT ON COLUMN audit_trail.watch_target.id IS
    'The ids of the target''s events are UUIDs version 5 of it and the number of the transition.';
COMMENT ON COLUMN audit_trail.watch_target.error IS 'The class of the newest check''s error, NULL if it was good.';
COMMENT ON COLUMN audit_trail.watch_target.recent IS
    'The newest results, the last one at the end: 1 is good. failed_at has the times of the others.';
COMMENT ON COLUMN audit_trail.watch_target.outage IS 'The id of the event about the failure that lasts.';
COMMENT ON COLUMN audit_trail.watch_target.incarnation IS
    'The start time or boot id that the target told last. Another one means that it was restarted.';

CREATE TABLE audit_trail.watch_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    writer uuid,
    looked_until timestamptz,
    stopped boolean NOT NULL DEFAULT false,
    gaps bigint NOT NULL DEFAULT 0 CHECK (gaps >= 0)
);
COMMENT ON TABLE audit_trail.watch_state IS
    'The one row of the watcher. Each save raises revision by 1, so that of two watchers one is refused.';
COMMENT ON COLUMN audit_trail.watch_state.looked_until IS
    'Until when it has looked. A later start reports the time since then as observation.gap.';
INSERT INTO audit_trail.watch_state DEFAULT VALUES;

CREATE TABLE audit_trail.watch_event (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    service text NOT NULL CHECK (length(service) BETWEEN 1 AND 256),
    body bytea NOT NULL CHECK (octet_length(body) <= 65536),
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_trail.watch_event IS
    'Events that Kafka does not have yet. They are published from here, byte for byte, and then deleted.';

-- A number that was used once would give another event the same id.
CREATE FUNCTION audit_trail.keep_watch_numbers() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_TABLE_NAME = 'watch_target' THEN
        IF (new.name, new.id) IS DISTINCT FROM (old.name, old.id) OR new.transitions < old.transitions THEN
            RAISE EXCEPTION 'a target keeps its id, and the number of its transitions only grows'
                USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF new.id <> old.id OR new.gaps < old.gaps OR new.revision < old.revision THEN
        RAISE EXCEPTION 'the state of the watcher only moves forward' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_watch_numbers() FROM PUBLIC;
CREATE TRIGGER numbers_grow BEFORE UPDATE ON audit_trail.watch_target
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_watch_numbers();
CREATE TRIGGER numbers_grow BEFORE UPDATE ON audit_trail.watch_state
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_watch_numbers();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.watch_target
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER never_forgotten BEFORE DELETE ON audit_trail.watch_state
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.watch_target
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.watch_state
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.watch_event
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

-- The watcher reads no event: what it reports goes to Kafka.
GRANT USAGE ON SCHEMA audit_trail TO audit_trail_watcher;
GRANT SELECT ON audit_trail.migration TO audit_trail_watcher;
GRANT SELECT, INSERT, UPDATE ON audit_trail.watch_target TO audit_trail_watcher;
GRANT SELECT, UPDATE ON audit_trail.watch_state TO audit_trail_watcher;
GRANT SELECT, INSERT, DELETE ON audit_trail.watch_event TO audit_trail_watcher;
GRANT SELECT ON audit_trail.watch_target, audit_trail.watch_state TO audit_trail_reader;

-- Of two watchers one waits: see event_store/part_lock.py.
ALTER TABLE audit_trail.operation_worker DROP CONSTRAINT operation_worker_part_check;
ALTER TABLE audit_trail.operation_worker ADD CONSTRAINT operation_worker_part_check
CHECK (part IN ('project', 'ingest', 'watch'));
GRANT SELECT, INSERT, UPDATE ON audit_trail.operation_worker TO audit_trail_watcher;
CREATE POLICY watcher_works ON audit_trail.operation_worker FOR ALL TO audit_trail_watcher USING (part = 'watch');
