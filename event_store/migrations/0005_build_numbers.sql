-- The number of a build is never given again: what the trail says of build 2 stays said of one build, dropped or not.
-- A trigger keeps the books, so that nobody who makes or drops builds needs a right on them.
CREATE TABLE audit_trail.projection_number (
    name text PRIMARY KEY,
    last integer NOT NULL CHECK (last > 0)
);
COMMENT ON TABLE audit_trail.projection_number IS 'The highest number that a build of the projection has ever had.';

INSERT INTO audit_trail.projection_number (name, last)
SELECT
    name,
    max(build)
FROM audit_trail.projection
GROUP BY name;

CREATE FUNCTION audit_trail.count_build() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO audit_trail.projection_number AS held (name, last) VALUES (NEW.name, NEW.build)
    ON CONFLICT (name) DO UPDATE SET last = EXCLUDED.last WHERE held.last < EXCLUDED.last;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'build % of projection % has been before', NEW.build, NEW.name
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.count_build() FROM PUBLIC;
-- After the row is in: the policies have let its writer have this name by then.
CREATE TRIGGER counted AFTER INSERT ON audit_trail.projection
FOR EACH ROW EXECUTE FUNCTION audit_trail.count_build();

GRANT SELECT ON audit_trail.projection_number TO audit_trail_projector, audit_trail_analyst, audit_trail_reader;
