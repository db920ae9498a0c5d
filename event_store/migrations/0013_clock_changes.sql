-- The positions of the events about the clock of the log. The newest one says, after a restart too, whether a jump of
-- the clock is in the trail already. The event itself is sealed like every other.
CREATE TABLE audit_trail.clock_change (
    position bigint PRIMARY KEY CHECK (position >= 0)
);
COMMENT ON TABLE audit_trail.clock_change IS
    'One row for each event about a jump of the clock: its position in the log.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_trail.clock_change
FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_trail.clock_change
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail.refuse_change();

GRANT SELECT ON audit_trail.clock_change
TO audit_trail_ingest, audit_trail_reader, audit_trail_projector, audit_trail_guard;
GRANT INSERT ON audit_trail.clock_change TO audit_trail_ingest;
