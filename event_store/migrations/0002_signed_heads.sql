-- Signed tree heads: one for every committed batch, written in the batch's own transaction; and what witnesses say of
-- them. The private key is never here.

DO $$
BEGIN
    CREATE ROLE audit_trail_guard NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
    NULL;
END
$$;

CREATE TABLE audit_trail.log_key (
    vkey text PRIMARY KEY,
    first_size bigint NOT NULL CHECK (first_size >= 0),
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_trail.log_key IS
    'The public keys (C2SP vkey) that heads were signed with. Whoever verifies keeps a copy elsewhere.';

CREATE TABLE audit_trail.tree_head (
    size bigint PRIMARY KEY CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    signed_at timestamptz NOT NULL,
    note text NOT NULL
);
COMMENT ON COLUMN audit_trail.tree_head.note IS 'The C2SP checkpoint, a signed note, as it is served.';

CREATE TABLE audit_trail.cosignature (
    size bigint NOT NULL REFERENCES audit_trail.tree_head (size),
    vkey text NOT NULL,
    line text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, vkey)
);
COMMENT ON TABLE audit_trail.cosignature IS 'What witnesses signed: the line to add to the head''s note.';

CREATE TABLE audit_trail.stream_reset (
    stream uuid NOT NULL REFERENCES audit_trail.kafka_stream (stream),
    size bigint NOT NULL CHECK (size >= 0),
    expected bigint NOT NULL,
    continued_from bigint NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_trail.stream_reset IS
    'Where Kafka had lost records and an operator let ingest go on: from this size of the log on, offsets begin anew.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['log_key', 'tree_head', 'cosignature', 'stream_reset'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail.%I
            FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change()', name);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.%I
            FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change()', name);
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA audit_trail TO audit_trail_guard;
GRANT SELECT ON ALL TABLES IN SCHEMA audit_trail TO audit_trail_guard;
GRANT SELECT ON audit_trail.log_key, audit_trail.tree_head, audit_trail.cosignature, audit_trail.stream_reset
TO audit_trail_ingest, audit_trail_reader, audit_trail_projector;
GRANT INSERT ON audit_trail.log_key, audit_trail.tree_head, audit_trail.stream_reset TO audit_trail_ingest;
GRANT INSERT ON audit_trail.cosignature TO audit_trail_guard;
