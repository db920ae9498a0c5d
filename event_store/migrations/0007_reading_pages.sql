-- What a page of events reads at once. As functions, since PostgreSQL keeps their plans: planning takes longer than
-- reading. They have no rights of their own.

-- The events at some positions, one record after the other as PostgreSQL sends it; NULL for none.
-- By bitmap: places that are far apart are then asked of the disk together, and not each after the one before.
CREATE FUNCTION audit_trail.event_records(positions bigint[]) RETURNS bytea
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET enable_indexscan = off SET enable_bitmapscan = on AS $$
DECLARE
    found bytea;
BEGIN
    SELECT string_agg(
        record_send(
            ROW(event.position, event.stream_position, event.recorded_at, event.stream, event.format, event.body)
        ), ''
    )
    INTO found
    FROM audit_trail.event
    WHERE event.position = ANY(positions);
    RETURN found;
END
$$;

-- The checkpoint, name and schema of each live build, a line for each.
CREATE FUNCTION audit_trail.live_builds() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found text;
BEGIN
    SELECT string_agg(concat_ws(' ', live.position, live.name, live.schema_name), E'\n')
    INTO found
    FROM audit_trail.projection AS live
    WHERE live.live;
    RETURN found;
END
$$;

REVOKE ALL ON FUNCTION audit_trail.event_records(bigint[]), audit_trail.live_builds() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_trail.event_records(bigint[]), audit_trail.live_builds() TO audit_trail_reader;
