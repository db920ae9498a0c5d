-- Projections that analysts own. Each has a role of its own, which owns its tables, moves its checkpoint alone, reads
-- the log, and can write nothing else.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['audit_trail_analyst', 'audit_trail_batch'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
    -- To make it the owner of a function. Whoever has created a role may grant it, and is else not in it.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            EXECUTE format('GRANT audit_trail_batch TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END IF;
END
$$;

CREATE TABLE audit_trail.own_projection (
    name text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_trail.own_projection IS
    'The projections that analysts own. Each has a role audit_trail_own_NAME.';

-- An analyst may begin a projection; from then on its role is the beginner's. An operator grants it to others.
CREATE FUNCTION audit_trail.own_projection(wanted text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own CONSTANT text := 'audit_trail_own_' || wanted;
BEGIN
    IF wanted !~ '^[a-z][a-z0-9_]{0,39}$' OR wanted LIKE 'pg\_%' THEN
        RAISE EXCEPTION 'this is no name of a projection' USING ERRCODE = 'invalid_name';
    END IF;
    PERFORM pg_advisory_xact_lock(7021801);
    IF NOT EXISTS (SELECT FROM audit_trail.own_projection AS held WHERE held.name = wanted)
        AND EXISTS (SELECT FROM audit_trail.projection AS held WHERE held.name = wanted) THEN
        RAISE EXCEPTION 'the projection % comes with Audit Trail', wanted USING ERRCODE = 'duplicate_object';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = own) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN IN ROLE audit_trail_analyst', own);
        EXECUTE format('GRANT %I TO audit_trail_projector', own);
        IF NOT pg_has_role(own, 'USAGE') THEN
            EXECUTE format('GRANT %I TO %I', own, current_user);
        END IF;
        IF NOT pg_has_role(session_user, own, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO %I', own, session_user);
        END IF;
    ELSIF NOT pg_has_role(session_user, own, 'MEMBER') THEN
        RAISE EXCEPTION 'the projection % belongs to another login: its role is %', wanted, own
            USING ERRCODE = 'duplicate_object';
    END IF;
    INSERT INTO audit_trail.own_projection (name, created_by) VALUES (wanted, session_user) ON CONFLICT DO NOTHING;
    RETURN own;
END
$$;

-- The role of a projection can't create schemas: with that right it could take the names of others' next builds.
CREATE FUNCTION audit_trail.make_own_schema(owner text, wanted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own CONSTANT text := 'audit_trail_own_' || owner;
BEGIN
    IF NOT EXISTS (SELECT FROM audit_trail.own_projection AS held WHERE held.name = owner)
        OR NOT pg_has_role(session_user, own, 'MEMBER')
        OR wanted !~ ('^' || owner || '_v[0-9]{1,9}(_b[0-9]{1,9})?$') THEN
        RAISE EXCEPTION 'no schema for a build of this projection' USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', wanted, own);
END
$$;

-- Runs an analyst's one SELECT over a batch. Its owner may do nothing at all; inside it PostgreSQL takes no other role;
-- as it is STABLE, nothing is written; and a cursor takes no second statement.
CREATE FUNCTION audit_trail.batch_rows(query text, events jsonb, most integer) RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    answer record;
    count integer := 0;
BEGIN
    IF current_setting('transaction_read_only') <> 'on' THEN
        RAISE EXCEPTION 'batch_rows wants a transaction that is read only' USING ERRCODE = 'active_sql_transaction';
    END IF;
    FOR answer IN EXECUTE query USING events LOOP
        count := count + 1;
        IF count > most THEN
            RAISE EXCEPTION 'more than % rows of one batch', most USING ERRCODE = 'cardinality_violation';
        END IF;
        RETURN NEXT answer;
    END LOOP;
END
$$;
GRANT CREATE ON SCHEMA audit_trail TO audit_trail_batch;
ALTER FUNCTION audit_trail.batch_rows(text, jsonb, integer) OWNER TO audit_trail_batch;
REVOKE CREATE ON SCHEMA audit_trail FROM audit_trail_batch;

-- One row of the registry is one projection's: the policies let each role write its own, and the projector all.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['projection', 'projection_range', 'projection_skip', 'projection_holder'] LOOP
        EXECUTE format('ALTER TABLE audit_trail.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY all_read ON audit_trail.%I FOR SELECT USING (true)', name);
        EXECUTE format('CREATE POLICY projector_writes ON audit_trail.%I TO audit_trail_projector USING (true)', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['projection_range', 'projection_skip', 'projection_holder'] LOOP
        EXECUTE format('CREATE POLICY owner_writes ON audit_trail.%I TO audit_trail_analyst
            USING (current_user = ''audit_trail_own_'' || name)', name);
    END LOOP;
END
$$;
CREATE POLICY owner_writes ON audit_trail.projection TO audit_trail_analyst
USING (current_user = 'audit_trail_own_' || name)
WITH CHECK (
    current_user = 'audit_trail_own_' || name
    AND schema_name ~ ('^' || name || '_v[0-9]{1,9}(_b[0-9]{1,9})?$')
);

REVOKE ALL ON FUNCTION audit_trail.own_projection(text), audit_trail.make_own_schema(text, text),
    audit_trail.batch_rows(text, jsonb, integer) FROM PUBLIC;
GRANT audit_trail_analyst TO audit_trail_projector;
GRANT USAGE ON SCHEMA audit_trail TO audit_trail_analyst;
GRANT EXECUTE ON FUNCTION audit_trail.own_projection(text), audit_trail.make_own_schema(text, text),
    audit_trail.batch_rows(text, jsonb, integer) TO audit_trail_analyst;
GRANT SELECT ON audit_trail.event, audit_trail.log_state, audit_trail.tile, audit_trail.migration,
    audit_trail.projection, audit_trail.projection_range, audit_trail.projection_skip, audit_trail.projection_holder,
    audit_trail.own_projection TO audit_trail_analyst;
GRANT SELECT ON audit_trail.own_projection TO audit_trail_reader, audit_trail_projector, audit_trail_ingest,
    audit_trail_guard;
GRANT INSERT, UPDATE, DELETE ON audit_trail.projection TO audit_trail_analyst;
GRANT INSERT, UPDATE (done), DELETE ON audit_trail.projection_range TO audit_trail_analyst;
GRANT INSERT, UPDATE (applied) ON audit_trail.projection_skip TO audit_trail_analyst;
GRANT INSERT, UPDATE ON audit_trail.projection_holder TO audit_trail_analyst;
