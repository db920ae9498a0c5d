-- What detection knows besides the log: tables of context, in versions. A load is a whole table, and is an event; a
-- rebuild of detection needs the old versions, so nothing is ever changed or removed.
--
-- Who loads context decides what looks like a reason for an access. So only a role of its own writes it: it sees no
-- event, and the parts that see events can't write it.

DO $$
BEGIN
    CREATE ROLE audit_trail_context NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
    NULL;
END
$$;

CREATE TABLE audit_trail.context_version (
    table_name text NOT NULL CHECK (table_name ~ '^[a-z][a-z_]{0,62}$'),
    version integer NOT NULL CHECK (version > 0),
    digest bytea NOT NULL CHECK (length(digest) = 32),
    rows bigint NOT NULL CHECK (rows >= 0),
    format text NOT NULL CHECK (format ~ '^[a-z]{1,32}$'),
    decided_by text NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 256),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 65536),
    login text NOT NULL DEFAULT session_user,
    event_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    loaded_at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    published_at timestamptz,
    PRIMARY KEY (table_name, version)
);
COMMENT ON TABLE audit_trail.context_version IS
    'The versions of the tables of context. The highest one of a table counts, from the position of its event.';
COMMENT ON COLUMN audit_trail.context_version.digest IS
    'SHA-256 of its rows in their order, each with a line break after it.';
COMMENT ON COLUMN audit_trail.context_version.event_id IS
    'The id of the event context.loaded: known before it is published, so that publishing again doubles nothing.';
COMMENT ON COLUMN audit_trail.context_version.published_at IS 'When Kafka had the event; NULL: not yet.';
CREATE INDEX context_version_unpublished ON audit_trail.context_version (loaded_at) WHERE published_at IS NULL;

-- Rows that follow each other. Where a chunk ends depends on its rows alone, so versions share most of their chunks.
CREATE TABLE audit_trail.context_chunk (
    digest bytea PRIMARY KEY CHECK (length(digest) = 32),
    content bytea NOT NULL CHECK (length(content) BETWEEN 1 AND 8388608)
);
ALTER TABLE audit_trail.context_chunk ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON COLUMN audit_trail.context_chunk.digest IS 'SHA-256 of the rows, each with a line break after it.';
COMMENT ON COLUMN audit_trail.context_chunk.content IS 'The rows, compressed by zlib: JSON arrays.';

CREATE TABLE audit_trail.context_version_chunk (
    table_name text NOT NULL,
    version integer NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    digest bytea NOT NULL REFERENCES audit_trail.context_chunk,
    PRIMARY KEY (table_name, version, number),
    FOREIGN KEY (table_name, version) REFERENCES audit_trail.context_version
);
COMMENT ON TABLE audit_trail.context_version_chunk IS 'The chunks of a version, in the order of its rows.';

CREATE FUNCTION audit_trail.keep_context_version() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (to_jsonb(new) - 'published_at') IS DISTINCT FROM (to_jsonb(old) - 'published_at')
        OR (old.published_at IS NOT NULL AND new.published_at IS DISTINCT FROM old.published_at) THEN
        RAISE EXCEPTION 'a version of context does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.keep_context_version() FROM PUBLIC;
CREATE TRIGGER unchanged BEFORE UPDATE ON audit_trail.context_version
FOR EACH ROW EXECUTE FUNCTION audit_trail.keep_context_version();
CREATE TRIGGER kept BEFORE DELETE ON audit_trail.context_version
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail.context_chunk
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail.context_version_chunk
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.context_version
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.context_chunk
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.context_version_chunk
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

GRANT USAGE ON SCHEMA audit_trail TO audit_trail_context;
GRANT SELECT ON audit_trail.migration TO audit_trail_context;
-- `project` evaluates rules over the log as it grows, `detect run` over history.
GRANT SELECT ON audit_trail.context_version, audit_trail.context_chunk, audit_trail.context_version_chunk
TO audit_trail_context, audit_trail_projector, audit_trail_reader;
GRANT INSERT ON audit_trail.context_version, audit_trail.context_chunk, audit_trail.context_version_chunk
TO audit_trail_context;
GRANT UPDATE (published_at) ON audit_trail.context_version TO audit_trail_context;
