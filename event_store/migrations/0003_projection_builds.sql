-- A projection has builds: sets of tables, each in a schema of its own. One build at most is live; a rebuild makes
-- another beside it, and the one before stays until it is dropped.

ALTER TABLE audit_trail.projection
ADD COLUMN build integer CHECK (build > 0),
ADD COLUMN state text NOT NULL DEFAULT 'ready' CHECK (state IN ('loading', 'indexing', 'ready', 'scratch')),
ADD COLUMN definition text NOT NULL DEFAULT '',
ADD COLUMN code_digest text NOT NULL DEFAULT '',
ADD COLUMN paused boolean NOT NULL DEFAULT false,
ADD COLUMN created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
ADD COLUMN switched_at timestamptz,
ADD COLUMN attested_at timestamptz,
ADD COLUMN attestation bytea;

UPDATE audit_trail.projection
SET
    build = numbered.build,
    switched_at = CASE WHEN projection.live THEN projection.updated_at END
FROM (
    SELECT schema_name, row_number() OVER (PARTITION BY name ORDER BY version)::integer AS build
    FROM audit_trail.projection
) AS numbered
WHERE projection.schema_name = numbered.schema_name;

ALTER TABLE audit_trail.projection
ALTER COLUMN build SET NOT NULL,
DROP CONSTRAINT projection_pkey,
ADD PRIMARY KEY (name, build),
ADD CHECK (NOT live OR state = 'ready');
COMMENT ON COLUMN audit_trail.projection.definition IS
    'SHA-256 of the declared tables. Empty for builds of before this column: the next program that fits fills it.';
COMMENT ON COLUMN audit_trail.projection.code_digest IS 'SHA-256 of the source of the projector that began the build.';
COMMENT ON COLUMN audit_trail.projection.attestation IS
    'The projection.rebuilt event, kept before it is published, so that it is the same however often it is sent.';

-- What a rebuild still has to load. A range is done in the transaction that wrote its rows.
CREATE TABLE audit_trail.projection_range (
    name text NOT NULL,
    build integer NOT NULL,
    first bigint NOT NULL CHECK (first >= 0),
    last bigint NOT NULL CHECK (last >= first),
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (name, build, first),
    FOREIGN KEY (name, build) REFERENCES audit_trail.projection ON DELETE CASCADE
);

-- An operator's decisions that a projection leaves an event out. They hold for every build, and are never deleted.
CREATE TABLE audit_trail.projection_skip (
    name text NOT NULL,
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    failure text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    decided_by text NOT NULL CHECK (decided_by <> ''),
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied boolean NOT NULL DEFAULT false,
    PRIMARY KEY (name, position)
);
COMMENT ON COLUMN audit_trail.projection_skip.applied IS
    'Whether the trail has the decision, and projectors follow it.';
CREATE TRIGGER kept BEFORE DELETE ON audit_trail.projection_skip
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();

-- Who works on a projection's builds. The session's advisory lock is what counts; this says whose it is.
CREATE TABLE audit_trail.projection_holder (
    name text PRIMARY KEY,
    work text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON COLUMN audit_trail.projection.state IS
    'loading: ranges of the log are put in; indexing: all are. scratch: made by verify, and dropped after it.';

GRANT DELETE ON audit_trail.projection TO audit_trail_projector;
-- The attestation of a rebuild tells the root of the log at the build's position.
GRANT SELECT ON audit_trail.tile TO audit_trail_projector;
GRANT SELECT, INSERT, UPDATE (done), DELETE ON audit_trail.projection_range TO audit_trail_projector;
GRANT SELECT, INSERT, UPDATE (applied) ON audit_trail.projection_skip TO audit_trail_projector;
GRANT SELECT, INSERT, UPDATE ON audit_trail.projection_holder TO audit_trail_projector;
GRANT SELECT ON audit_trail.projection_range, audit_trail.projection_skip, audit_trail.projection_holder
TO audit_trail_reader;
