-- What an analyst's SELECT may take of the disk, and the end of an own projection.

-- temp_file_limit is a superuser's to set, or of whom a superuser lets: an owner of the database who is neither goes
-- without, and the server's own temp_file_limit holds.
DO $$
BEGIN
    EXECUTE 'GRANT SET ON PARAMETER temp_file_limit TO audit_trail_batch';
    EXECUTE 'ALTER FUNCTION audit_trail.batch_rows(text, jsonb, integer) SET temp_file_limit = ''512MB''';
EXCEPTION WHEN insufficient_privilege OR syntax_error THEN
    RAISE NOTICE 'temp_file_limit is not set for the SQL of own projections: that takes a superuser, and PostgreSQL 15';
END
$$;

-- All that is left of an own projection once none of its builds is live: tables, registry, role. Decisions about events
-- that it left out are kept. The caller is not in the projection's role: it goes.
CREATE FUNCTION audit_trail.remove_own_projection(wanted text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own CONSTANT text := 'audit_trail_own_' || wanted;
    held text;
BEGIN
    PERFORM pg_advisory_xact_lock(7021801);
    PERFORM pg_advisory_xact_lock(7021799);
    IF NOT EXISTS (SELECT FROM audit_trail.own_projection AS each WHERE each.name = wanted)
        OR NOT pg_has_role(session_user, own, 'MEMBER') THEN
        RAISE EXCEPTION 'no projection of this login' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM audit_trail.projection AS each WHERE each.name = wanted AND each.live) THEN
        RAISE EXCEPTION 'the projection % is live', wanted USING ERRCODE = 'object_in_use';
    END IF;
    FOR held IN SELECT each.schema_name FROM audit_trail.projection AS each WHERE each.name = wanted LOOP
        EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', held);
    END LOOP;
    DELETE FROM audit_trail.projection AS each WHERE each.name = wanted;
    DELETE FROM audit_trail.projection_holder AS each WHERE each.name = wanted;
    DELETE FROM audit_trail.own_projection AS each WHERE each.name = wanted;
    BEGIN
        EXECUTE format('DROP OWNED BY %I', own);
        EXECUTE format('DROP ROLE %I', own);
    EXCEPTION WHEN dependent_objects_still_exist OR object_in_use OR insufficient_privilege THEN
        RETURN false;  -- roles are the server's: a projection of this name in another database has it too
    END;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.remove_own_projection(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_trail.remove_own_projection(text) TO audit_trail_analyst;
