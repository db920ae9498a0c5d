-- The event store: append-only by grants and by trigger, partitioned by position from the first day.

-- Roles are shared by all databases of a server, so they may be there already. They cannot log in: a deployment makes
-- its own logins and puts each into exactly one of them.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['audit_trail_ingest', 'audit_trail_projector', 'audit_trail_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
END
$$;

CREATE FUNCTION audit_trail.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_trail.% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TABLE audit_trail.event (
    position bigint NOT NULL CHECK (position >= 0),
    stream_position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    stream uuid NOT NULL,
    event_id uuid NOT NULL,
    format smallint NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);
COMMENT ON TABLE audit_trail.event IS 'One row an event. position is dense and equals the Merkle leaf index.';

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON audit_trail.event
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON audit_trail.event
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

-- No index on a partitioned table makes event ids unique across partitions, so they have a table of their own.
CREATE TABLE audit_trail.event_identity (
    event_id uuid PRIMARY KEY,
    position bigint NOT NULL
);

-- The same for the versions of event-sourced aggregates. Kafka streams need no row here: kafka_stream guards them.
CREATE TABLE audit_trail.aggregate_version (
    stream uuid NOT NULL,
    stream_position bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (stream, stream_position)
);

CREATE TABLE audit_trail.kafka_stream (
    stream uuid PRIMARY KEY,
    topic text NOT NULL,
    topic_id uuid NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    next_offset bigint NOT NULL CHECK (next_offset >= 0),
    UNIQUE (topic_id, partition)
);
COMMENT ON COLUMN audit_trail.kafka_stream.topic_id IS 'Kafka''s id: a topic that was made again is a new stream.';

-- Full tiles of 256 hashes (tlog-tiles level and index). The ragged right edge lives in log_state.
CREATE TABLE audit_trail.tile (
    level smallint NOT NULL,
    index bigint NOT NULL,
    "hashes" bytea NOT NULL CHECK (octet_length("hashes") = 8192),
    PRIMARY KEY (level, index)
);

CREATE TABLE audit_trail.log_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    edge bytea NOT NULL,
    partitioned_until bigint NOT NULL
);
COMMENT ON TABLE audit_trail.log_state IS 'The one row whose lock orders all appends.';
ALTER TABLE audit_trail.log_state ALTER COLUMN edge SET STORAGE EXTERNAL;

CREATE FUNCTION audit_trail.only_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' OR NEW.size < OLD.size OR NEW.partitioned_until < OLD.partitioned_until THEN
        RAISE EXCEPTION 'audit_trail.log_state only moves forward' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER log_state_forward BEFORE UPDATE OR DELETE ON audit_trail.log_state
FOR EACH ROW EXECUTE FUNCTION audit_trail.only_forward();

-- SHA-256 of nothing: the root of the empty tree (RFC 6962, section 2.1).
INSERT INTO audit_trail.log_state (size, root, edge, partitioned_until) VALUES (0, sha256(''), '', 0);

CREATE TABLE audit_trail.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream uuid NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    timestamp timestamptz,
    key bytea,
    value bytea,
    headers json NOT NULL DEFAULT '[]',
    reason text NOT NULL,
    field text NOT NULL,
    message text NOT NULL
);
-- Not unique: after Kafka has lost records and an operator let ingest go on, an offset can come again.
CREATE INDEX dead_letter_offset ON audit_trail.dead_letter (stream, "offset");
COMMENT ON COLUMN audit_trail.dead_letter.headers IS
    'Pairs of name and base64 of the value, in the order received. json, since jsonb refuses U+0000.';

-- The library's tracking records: how far a view of another application's events has come.
CREATE TABLE audit_trail.tracking (
    recorder text NOT NULL,
    application_name text NOT NULL,
    notification_id bigint NOT NULL,
    PRIMARY KEY (recorder, application_name)
);

CREATE TABLE audit_trail.projection (
    name text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    schema_name text NOT NULL UNIQUE,
    live boolean NOT NULL DEFAULT true,
    position bigint NOT NULL DEFAULT -1 CHECK (position >= -1),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    failed_position bigint,
    failed_event_id uuid,
    failure text,
    PRIMARY KEY (name, version)
);
CREATE UNIQUE INDEX projection_live ON audit_trail.projection (name) WHERE live;
COMMENT ON COLUMN audit_trail.projection.position IS 'The checkpoint: the last position applied, -1 for none.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['event_identity', 'aggregate_version', 'tile', 'dead_letter'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail.%I
            FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['event_identity', 'aggregate_version', 'tile', 'dead_letter', 'log_state', 'kafka_stream'] LOOP
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.%I
            FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change()', name);
    END LOOP;
END
$$;

-- Ingest may append and cannot create tables, so the owner's function makes the next partitions for it. 2^24 positions
-- each: a whole number of level-2 tiles. It looks at most two partitions ahead, so that it can't be
-- used to fill the disk.
CREATE FUNCTION audit_trail.add_partitions(wanted bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    width CONSTANT bigint := 16777216;
    reached bigint;
    used bigint;
    name text;
BEGIN
    SELECT s.partitioned_until, s.size INTO STRICT reached, used FROM audit_trail.log_state AS s FOR UPDATE;
    WHILE reached < least(wanted, used + 2 * width) LOOP
        name := 'event_' || lpad((reached / width)::text, 6, '0');
        EXECUTE format('CREATE TABLE audit_trail.%I (LIKE audit_trail.event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('ALTER TABLE audit_trail.event ATTACH PARTITION audit_trail.%I FOR VALUES FROM (%s) TO (%s)',
            name, reached, reached + width);
        EXECUTE format('CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON audit_trail.%I
            FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change()', name);
        reached := reached + width;
    END LOOP;
    UPDATE audit_trail.log_state SET partitioned_until = reached;
    RETURN reached;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.add_partitions(bigint) FROM PUBLIC;
SELECT audit_trail.add_partitions(1);

GRANT USAGE ON SCHEMA audit_trail TO audit_trail_ingest, audit_trail_projector, audit_trail_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA audit_trail TO audit_trail_ingest, audit_trail_reader;
GRANT SELECT ON audit_trail.event, audit_trail.log_state, audit_trail.projection, audit_trail.migration
TO audit_trail_projector;
GRANT INSERT ON audit_trail.event, audit_trail.event_identity, audit_trail.aggregate_version, audit_trail.tile,
    audit_trail.dead_letter, audit_trail.kafka_stream TO audit_trail_ingest;
GRANT UPDATE (next_offset) ON audit_trail.kafka_stream TO audit_trail_ingest;
GRANT UPDATE (size, root, edge, partitioned_until) ON audit_trail.log_state TO audit_trail_ingest;
GRANT INSERT, UPDATE ON audit_trail.tracking TO audit_trail_ingest;
GRANT EXECUTE ON FUNCTION audit_trail.add_partitions(bigint) TO audit_trail_ingest;
GRANT INSERT, UPDATE ON audit_trail.projection TO audit_trail_projector;
