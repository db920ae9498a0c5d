-- An analyst's code never runs in another role's session. The tables of a custom projection belong to a role that
-- nobody logs in as, and are made by functions from a checked description. The projection's own role reads and writes
-- rows, and can create nothing: no function, index, trigger, default, type or temporary table.

DO $$
BEGIN
    BEGIN
        CREATE ROLE audit_trail_custom_owner NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
        NULL;
    END;
    -- The owner of the database makes schemas for this role and functions of it.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            EXECUTE format('GRANT audit_trail_custom_owner TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END IF;
END
$$;

-- Names that no custom projection may have: those of the built-in projections, and of their builds' schemas.
CREATE FUNCTION audit_trail.is_reserved_name(wanted text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN wanted ~ '^(activity|device|patient|service|user)(_[vb][0-9]+)*$';
END
$$;

-- How much one login or one projection may have. Custom projections share catalogs and the registry with all others.
CREATE FUNCTION audit_trail.projection_limit(what text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE what
        WHEN 'projections' THEN 50  -- that one login has begun
        WHEN 'builds' THEN 30  -- of one projection
        WHEN 'tables' THEN 20  -- of one build; partial tables come on top
        WHEN 'columns' THEN 100  -- of one table
        WHEN 'indexes' THEN 20  -- of one table
    END;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.projection_limit(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_trail.projection_limit(text) TO audit_trail_custom_owner;

-- A database that an analyst prepared for an attack is not converted. The operator decides about what is found.
DO $$
DECLARE
    found text;
BEGIN
    SELECT string_agg(quote_ident(name), ', ' ORDER BY name) INTO found
    FROM audit_trail.own_projection WHERE audit_trail.is_reserved_name(name);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'custom projections have names that are reserved for built-in ones: %. Remove them with the'
            ' program of the release before, then migrate again', found;
    END IF;
    SELECT string_agg(format('%s build %s', name, build), ', ' ORDER BY name, build) INTO found
    FROM audit_trail.projection
    WHERE
        octet_length(definition) > 200 OR octet_length(code_digest) > 200 OR octet_length(failure) > 10000
        OR octet_length(attestation) > 1000000 OR position > 9007199254740991
        OR created_at NOT BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z'
        OR updated_at NOT BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z'
        OR switched_at NOT BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z'
        OR attested_at NOT BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z';
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'builds are registered with times, positions or texts that no program writes: %. Delete these'
            ' rows of audit_trail.projection, then migrate again', found;
    END IF;
    SELECT string_agg(format('%s build %s (%I)', name, build, schema_name), ', ' ORDER BY name, build) INTO found
    FROM audit_trail.projection
    WHERE name !~ '^[a-z][a-z0-9_]{0,39}$' OR schema_name !~ ('^' || name || '_v[0-9]{1,9}(_b[0-9]{1,9})?$');
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'builds are registered with schemas that are not theirs: %. Delete these rows of'
            ' audit_trail.projection, then migrate again', found;
    END IF;
END
$$;

ALTER TABLE audit_trail.projection
ADD CONSTRAINT projection_own_schema CHECK (
    name ~ '^[a-z][a-z0-9_]{0,39}$' AND schema_name ~ ('^' || name || '_v[0-9]{1,9}(_b[0-9]{1,9})?$')
),
-- Every program reads all rows of the registry, and an analyst writes some of them: a time that Python does not have,
-- or a text of a gigabyte, would stop them all.
ADD CONSTRAINT projection_small CHECK (
    octet_length(definition) <= 200
    AND octet_length(code_digest) <= 200
    AND octet_length(failure) <= 10000
    AND octet_length(attestation) <= 1000000
    AND position <= 9007199254740991
),
ADD CONSTRAINT projection_times CHECK (
    created_at BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z'
    AND updated_at BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z'
    AND switched_at BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z'
    AND attested_at BETWEEN '2000-01-01 00:00Z' AND '9000-01-01 00:00Z'
);

-- The trigger of migration 0005, with a limit on the builds of custom projections.
CREATE OR REPLACE FUNCTION audit_trail.count_build() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO audit_trail.projection_number AS held (name, last) VALUES (NEW.name, NEW.build)
    ON CONFLICT (name) DO UPDATE SET last = EXCLUDED.last WHERE held.last < EXCLUDED.last;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'build % of projection % has been before', NEW.build, NEW.name
            USING ERRCODE = 'unique_violation';
    END IF;
    IF EXISTS (SELECT FROM audit_trail.own_projection AS custom WHERE custom.name = NEW.name)
        AND (SELECT count(*) FROM audit_trail.projection AS each WHERE each.name = NEW.name)
        > audit_trail.projection_limit('builds') THEN
        RAISE EXCEPTION 'projection % has % builds, which is the most: drop the old ones with'
            ' `audit-trail projections drop`', NEW.name, audit_trail.projection_limit('builds') USING ERRCODE = 'AT001';
    END IF;
    RETURN NEW;
END
$$;

-- Objects that an analyst made beside the declared tables: whatever can carry code into the session of a reader.
DO $$
DECLARE
    found text;
BEGIN
    WITH build AS (
        SELECT namespace.oid
        FROM pg_catalog.pg_namespace AS namespace
        INNER JOIN audit_trail.own_projection AS custom
            ON namespace.nspname ~ ('^' || custom.name || '_v[0-9]{1,9}(_b[0-9]{1,9})?$')
    ),
    build_table AS (
        SELECT held.oid FROM pg_catalog.pg_class AS held INNER JOIN build ON held.relnamespace = build.oid
        WHERE held.relkind = 'r'
    ),
    plain_index AS (
        SELECT held.indexrelid AS oid
        FROM pg_catalog.pg_index AS held INNER JOIN build_table ON held.indrelid = build_table.oid
        WHERE held.indexprs IS NULL
    ),
    strange AS (
        -- What the role of a projection owns, apart from its builds and the staging tables of its sessions.
        SELECT link.classid, link.objid, link.objsubid
        FROM pg_catalog.pg_shdepend AS link
        INNER JOIN pg_catalog.pg_roles AS role
            ON link.refclassid = 'pg_authid'::regclass AND link.refobjid = role.oid
        INNER JOIN audit_trail.own_projection AS custom ON role.rolname = 'audit_trail_own_' || custom.name
        WHERE
            link.deptype = 'o'
            AND link.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
            AND NOT (link.classid = 'pg_namespace'::regclass AND link.objid IN (SELECT oid FROM build))
            AND NOT (link.classid = 'pg_class'::regclass AND link.objid IN (SELECT oid FROM build_table))
            AND NOT (
                link.classid = 'pg_class'::regclass
                AND EXISTS (
                    SELECT FROM pg_catalog.pg_class AS held
                    WHERE held.oid = link.objid AND held.relkind = 'r' AND held.relpersistence = 't'
                )
            )
        UNION
        -- What stands in the schema of a build and is no table.
        SELECT link.classid, link.objid, link.objsubid
        FROM pg_catalog.pg_depend AS link
        WHERE
            link.refclassid = 'pg_namespace'::regclass AND link.refobjid IN (SELECT oid FROM build)
            AND NOT (link.classid = 'pg_class'::regclass AND link.objid IN (SELECT oid FROM build_table))
        UNION
        -- What hangs on a table: a trigger, rule, view, policy, default, check, statistics object, child table.
        SELECT link.classid, link.objid, link.objsubid
        FROM pg_catalog.pg_depend AS link
        WHERE
            link.refclassid = 'pg_class'::regclass AND link.refobjid IN (SELECT oid FROM build_table)
            AND link.classid <> 'pg_type'::regclass
            AND NOT (
                link.classid = 'pg_class'::regclass
                AND (
                    link.objid IN (SELECT oid FROM plain_index)
                    OR EXISTS (SELECT FROM pg_catalog.pg_class AS held WHERE held.oid = link.objid AND held.relkind = 't')
                )
            )
            AND NOT (
                link.classid = 'pg_constraint'::regclass
                AND EXISTS (
                    SELECT FROM pg_catalog.pg_constraint AS held
                    WHERE held.oid = link.objid AND held.contype IN ('p', 'n')
                )
            )
        UNION
        -- What a table or an index needs that PostgreSQL does not bring: a type, a parent, a function or an operator.
        SELECT link.classid, link.objid, link.objsubid
        FROM pg_catalog.pg_depend AS link
        WHERE
            link.classid = 'pg_class'::regclass
            AND (link.objid IN (SELECT oid FROM build_table) OR link.objid IN (SELECT oid FROM plain_index))
            AND link.refclassid NOT IN ('pg_namespace'::regclass, 'pg_constraint'::regclass)
            AND NOT (link.refclassid = 'pg_class'::regclass AND link.refobjid IN (SELECT oid FROM build_table))
    )

    SELECT string_agg(DISTINCT pg_describe_object(classid, objid, objsubid), '; ') INTO found FROM strange;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'custom projections have objects that Audit Trail did not make: %. Look who made them, drop'
            ' them, then migrate again', found;
    END IF;
END
$$;

-- The role of a custom projection, when the session may work on this build of it. Raises otherwise.
CREATE FUNCTION audit_trail.check_custom_build(projection text, wanted text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    role_oid oid;
BEGIN
    SELECT each.oid INTO role_oid
    FROM audit_trail.own_projection AS custom
    INNER JOIN pg_catalog.pg_roles AS each ON each.rolname = 'audit_trail_own_' || custom.name
    WHERE custom.name = projection AND wanted ~ ('^' || custom.name || '_v[0-9]{1,9}(_b[0-9]{1,9})?$');
    IF role_oid IS NOT NULL THEN
        IF pg_has_role(session_user, role_oid, 'MEMBER') THEN
            RETURN 'audit_trail_own_' || projection;
        END IF;
    END IF;
    RAISE EXCEPTION 'this is no build of a custom projection of this login' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- A name out of a description: lower-case letters, digits and underscores, and not too long for what is made of it.
CREATE FUNCTION audit_trail.check_custom_name(wanted text, of_table boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF wanted IS NULL OR wanted !~ '^[a-z][a-z0-9_]{0,29}$' OR of_table AND wanted ~ '^(pg|partial|staged)_'
        OR NOT of_table AND length(wanted) > 29 THEN
        RAISE EXCEPTION 'the description of a table has a name that is not allowed'
            USING ERRCODE = 'invalid_name',
            HINT = 'Lower-case letters, digits and underscores; at most 30 for a table, 29 for a column.';
    END IF;
    RETURN wanted;
END
$$;

CREATE FUNCTION audit_trail.custom_type(kind text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE kind
        WHEN 'text' THEN 'pg_catalog.text COLLATE pg_catalog."C"'
        WHEN 'texts' THEN 'pg_catalog.text[] COLLATE pg_catalog."C"'
        WHEN 'bigint' THEN 'pg_catalog.int8'
        WHEN 'integer' THEN 'pg_catalog.int4'
        WHEN 'smallint' THEN 'pg_catalog.int2'
        WHEN 'boolean' THEN 'pg_catalog.bool'
        WHEN 'double' THEN 'pg_catalog.float8'
        WHEN 'timestamp' THEN 'pg_catalog.timestamptz'
        WHEN 'json' THEN 'pg_catalog.jsonb'
    END;
END
$$;

CREATE FUNCTION audit_trail.check_custom_list(listed jsonb, what text, fewest integer, most integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(jsonb_typeof(listed), '') <> 'array' THEN
        RAISE EXCEPTION 'the description of a table has no list of %', what USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF jsonb_array_length(listed) NOT BETWEEN fewest AND most THEN
        RAISE EXCEPTION 'there may be from % to % %', fewest, most, what USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

-- The columns of CREATE TABLE. A table of partial rows has none that must have a value.
CREATE FUNCTION audit_trail.custom_columns(description jsonb, partial boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made text[] := '{}';
    each jsonb;
BEGIN
    PERFORM audit_trail.check_custom_list(description -> 'columns', 'columns', 1, audit_trail.projection_limit('columns'));
    FOR each IN SELECT value FROM jsonb_array_elements(description -> 'columns') LOOP
        IF audit_trail.custom_type(each ->> 'kind') IS NULL THEN
            RAISE EXCEPTION 'the kind of column % is none that a custom projection has', each ->> 'name'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        made := made || format(
            '%I %s%s', audit_trail.check_custom_name(each ->> 'name', false), audit_trail.custom_type(each ->> 'kind'),
            CASE WHEN partial OR (each ->> 'nullable')::boolean THEN '' ELSE ' NOT NULL' END
        );
    END LOOP;
    RETURN array_to_string(made, ', ');
END
$$;

CREATE FUNCTION audit_trail.custom_names(listed jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made text[] := '{}';
    each text;
BEGIN
    FOR each IN SELECT value FROM jsonb_array_elements_text(listed) LOOP
        made := made || quote_ident(audit_trail.check_custom_name(each, false));
    END LOOP;
    RETURN array_to_string(made, ', ');
END
$$;

-- The condition of a partial index: one column, one operator and one value, never an expression.
CREATE FUNCTION audit_trail.custom_where(condition jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held text;
BEGIN
    IF condition IS NULL OR jsonb_typeof(condition) = 'null' THEN
        RETURN '';
    END IF;
    held := quote_ident(audit_trail.check_custom_name(condition ->> 'column', false));
    IF condition ->> 'op' = 'IS TRUE' THEN
        RETURN ' WHERE ' || held;
    ELSIF condition ->> 'op' IN ('IS NULL', 'IS NOT NULL') THEN
        RETURN format(' WHERE %s %s', held, condition ->> 'op');
    ELSIF condition ->> 'op' IN ('=', '<>', '<', '>') AND condition ->> 'number' ~ '^-?[0-9]{1,30}$' THEN
        RETURN format(' WHERE %s OPERATOR(pg_catalog.%s) %s', held, condition ->> 'op', condition ->> 'number');
    ELSIF condition ->> 'op' IN ('=', '<>', '<', '>') AND condition ->> 'text' IS NOT NULL THEN
        RETURN format(' WHERE %s OPERATOR(pg_catalog.%s) %L', held, condition ->> 'op', condition ->> 'text');
    END IF;
    RAISE EXCEPTION 'the condition of an index is one column IS [NOT] NULL, or compared once'
        USING ERRCODE = 'invalid_parameter_value';
END
$$;

-- CREATE INDEX for one index of a table; number 0 is the unique index that becomes the primary key.
CREATE FUNCTION audit_trail.custom_index(wanted text, description jsonb, number integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held CONSTANT text := audit_trail.check_custom_name(description ->> 'name', true);
    one CONSTANT jsonb := description -> 'indexes' -> (number - 1);
    carried CONSTANT text := audit_trail.custom_names(description -> 'carried');
BEGIN
    PERFORM audit_trail.check_custom_list(description -> 'indexes', 'indexes', 0, audit_trail.projection_limit('indexes'));
    IF number = 0 THEN
        -- PostgreSQL has at most 32 columns in an index.
        PERFORM audit_trail.check_custom_list(description -> 'key', 'columns of the key', 1, 32);
        PERFORM audit_trail.check_custom_list(
            (description -> 'key') || (description -> 'carried'), 'columns of the key and carried ones', 1, 32
        );
        RETURN format(
            'CREATE UNIQUE INDEX %I ON %I.%I (%s)%s', held || '_pkey', wanted, held,
            audit_trail.custom_names(description -> 'key'),
            CASE WHEN carried = '' THEN '' ELSE format(' INCLUDE (%s)', carried) END
        );
    END IF;
    IF number < 0 OR one IS NULL THEN
        RAISE EXCEPTION 'the table has no index of this number' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM audit_trail.check_custom_list(one -> 'columns', 'columns of an index', 1, 32);
    RETURN format(
        'CREATE INDEX %I ON %I.%I (%s)%s',
        held || '_by_' || audit_trail.check_custom_name(one -> 'columns' ->> 0, false), wanted, held,
        audit_trail.custom_names(one -> 'columns'), audit_trail.custom_where(one -> 'where')
    );
END
$$;

-- The rights on the tables of a build: the projection's role reads and writes rows, the reader reads. The right to
-- update a whole table is also the right to lock it, so that nobody can read it. Rights on columns allow no LOCK TABLE.
CREATE FUNCTION audit_trail.grant_custom_build(projection text, wanted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own CONSTANT text := 'audit_trail_own_' || projection;
    held regclass;
    columns text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO audit_trail_reader, %I', wanted, own);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO audit_trail_reader, %I', wanted, own);
    EXECUTE format('GRANT INSERT ON ALL TABLES IN SCHEMA %I TO %I', wanted, own);
    FOR held, columns IN
        SELECT each.oid, string_agg(quote_ident(attribute.attname), ', ')
        FROM pg_catalog.pg_class AS each
        INNER JOIN pg_catalog.pg_attribute AS attribute ON each.oid = attribute.attrelid
        WHERE
            each.relnamespace = to_regnamespace(quote_ident(wanted)) AND each.relkind = 'r'
            AND attribute.attnum > 0 AND NOT attribute.attisdropped
        GROUP BY each.oid
    LOOP
        EXECUTE format('GRANT UPDATE (%s) ON %s TO %I', columns, held, own);
    END LOOP;
END
$$;

-- The functions from here on are what the role of a projection calls.

CREATE OR REPLACE FUNCTION audit_trail.make_own_schema(owner text, wanted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM audit_trail.check_custom_build(owner, wanted);
    IF (
        SELECT count(*) FROM pg_catalog.pg_namespace
        WHERE nspowner = 'audit_trail_custom_owner'::regrole
            AND nspname ~ ('^' || owner || '_v[0-9]{1,9}(_b[0-9]{1,9})?$')
    ) >= audit_trail.projection_limit('builds') THEN
        RAISE EXCEPTION 'projection % has % builds, which is the most: drop the old ones with'
            ' `audit-trail projections drop`', owner, audit_trail.projection_limit('builds') USING ERRCODE = 'AT001';
    END IF;
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION audit_trail_custom_owner', wanted);
END
$$;

-- The tables of a build, all at once. A build that is loaded first gets its indexes later, one by one.
CREATE FUNCTION audit_trail.make_custom_tables(projection text, wanted text, descriptions jsonb, loading boolean)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    each jsonb;
    held text;
    merged boolean;
BEGIN
    PERFORM audit_trail.check_custom_build(projection, wanted);
    PERFORM audit_trail.check_custom_list(descriptions, 'tables', 1, audit_trail.projection_limit('tables'));
    FOR each IN SELECT value FROM jsonb_array_elements(descriptions) LOOP
        held := audit_trail.check_custom_name(each ->> 'name', true);
        merged := coalesce((each ->> 'merged')::boolean, false);
        -- Merged rows are updated in place: room on the page keeps the updates out of the indexes.
        EXECUTE format(
            'CREATE TABLE %I.%I (%s)%s', wanted, held, audit_trail.custom_columns(each, false),
            CASE WHEN merged THEN ' WITH (fillfactor = 80)' ELSE '' END
        );
        IF NOT loading THEN
            FOR number IN 0..coalesce(jsonb_array_length(each -> 'indexes'), 0) LOOP
                EXECUTE audit_trail.custom_index(wanted, each, number);
            END LOOP;
            EXECUTE format(
                'ALTER TABLE %I.%I ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', wanted, held, held || '_pkey',
                held || '_pkey'
            );
        ELSIF merged THEN
            EXECUTE format(
                'CREATE TABLE %I.%I (%s)', wanted, 'partial_' || held, audit_trail.custom_columns(each, true)
            );
        END IF;
    END LOOP;
    -- With the partial tables, and those of calls before.
    IF (
        SELECT count(*) FROM pg_catalog.pg_class
        WHERE relnamespace = to_regnamespace(quote_ident(wanted)) AND relkind = 'r'
    ) > 2 * audit_trail.projection_limit('tables') THEN
        RAISE EXCEPTION 'a build may have % tables', audit_trail.projection_limit('tables') USING ERRCODE = 'AT001';
    END IF;
    PERFORM audit_trail.grant_custom_build(projection, wanted);
END
$$;

CREATE FUNCTION audit_trail.index_custom_table(projection text, wanted text, description jsonb, number integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM audit_trail.check_custom_build(projection, wanted);
    EXECUTE audit_trail.custom_index(wanted, description, number);
END
$$;

-- After the last index: the unique one becomes the primary key, and the planner learns what the table holds.
CREATE FUNCTION audit_trail.finish_custom_table(projection text, wanted text, held text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM audit_trail.check_custom_build(projection, wanted);
    PERFORM audit_trail.check_custom_name(held, true);
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint
        WHERE contype = 'p' AND conrelid = to_regclass(format('%I.%I', wanted, held))
    ) THEN
        EXECUTE format(
            'ALTER TABLE %I.%I ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', wanted, held, held || '_pkey',
            held || '_pkey'
        );
    END IF;
    EXECUTE format('ANALYZE %I.%I', wanted, held);
END
$$;

CREATE FUNCTION audit_trail.drop_custom_partial(projection text, wanted text, held text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM audit_trail.check_custom_build(projection, wanted);
    EXECUTE format('DROP TABLE %I.%I', wanted, 'partial_' || audit_trail.check_custom_name(held, true));
END
$$;

-- The session's temporary table that a batch is copied to before it is merged. With the right to make temporary tables
-- a session could make functions too.
CREATE FUNCTION audit_trail.stage_custom_table(projection text, wanted text, held text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    own CONSTANT text := audit_trail.check_custom_build(projection, wanted);
    staged CONSTANT text := 'staged_' || audit_trail.check_custom_name(held, true);
BEGIN
    EXECUTE format('CREATE TEMPORARY TABLE %I (LIKE %I.%I) ON COMMIT DELETE ROWS', staged, wanted, held);
    EXECUTE format('GRANT SELECT, INSERT ON pg_temp.%I TO %I', staged, own);
END
$$;

CREATE FUNCTION audit_trail.drop_custom_schema(projection text, wanted text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM audit_trail.check_custom_build(projection, wanted);
    IF EXISTS (SELECT FROM audit_trail.projection AS held WHERE held.schema_name = wanted AND held.live) THEN
        RAISE EXCEPTION 'this build of the projection % is live', projection USING ERRCODE = 'object_in_use';
    END IF;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', wanted);
END
$$;

-- The rows of the registry that end with a build. With the right to delete rows comes LOCK TABLE, and a lock on the
-- registry stops all queries and projectors: so analysts' roles do not have that right, and call these.
CREATE FUNCTION audit_trail.delete_custom_build(projection text, number integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM audit_trail.check_custom_build(projection, projection || '_v1');
    DELETE FROM audit_trail.projection AS held
    WHERE held.name = projection AND held.build = number AND NOT held.live;
    RETURN FOUND;
END
$$;

CREATE FUNCTION audit_trail.forget_custom_ranges(projection text, number integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM audit_trail.check_custom_build(projection, projection || '_v1');
    DELETE FROM audit_trail.projection_range AS held WHERE held.name = projection AND held.build = number;
END
$$;

REVOKE UPDATE, DELETE ON audit_trail.projection FROM audit_trail_analyst;
REVOKE DELETE ON audit_trail.projection_range FROM audit_trail_analyst;
REVOKE UPDATE ON audit_trail.projection_holder FROM audit_trail_analyst;
-- Rights on columns allow no LOCK TABLE.
GRANT UPDATE (
    definition, code_digest, position, updated_at, failed_position, failed_event_id, failure, paused, live,
    switched_at, state, attestation, attested_at
) ON audit_trail.projection TO audit_trail_analyst;
GRANT SELECT, DELETE ON audit_trail.projection, audit_trail.projection_range TO audit_trail_custom_owner;
CREATE POLICY custom_owner_deletes ON audit_trail.projection FOR DELETE TO audit_trail_custom_owner
USING (EXISTS (SELECT FROM audit_trail.own_projection AS custom WHERE custom.name = projection.name));
CREATE POLICY custom_owner_deletes ON audit_trail.projection_range FOR DELETE TO audit_trail_custom_owner
USING (EXISTS (SELECT FROM audit_trail.own_projection AS custom WHERE custom.name = projection_range.name));

DO $$
DECLARE
    name text;
    -- What makes or changes tables runs as the owner of the tables, and could do nothing else if it were misled.
    as_custom_owner CONSTANT text[] := ARRAY[
        'check_custom_list(jsonb, text, integer, integer)', 'check_custom_build(text, text)',
        'check_custom_name(text, boolean)', 'custom_type(text)',
        'custom_columns(jsonb, boolean)', 'custom_names(jsonb)', 'custom_where(jsonb)',
        'custom_index(text, jsonb, integer)', 'grant_custom_build(text, text)',
        'make_custom_tables(text, text, jsonb, boolean)', 'index_custom_table(text, text, jsonb, integer)',
        'finish_custom_table(text, text, text)', 'drop_custom_partial(text, text, text)',
        'stage_custom_table(text, text, text)', 'drop_custom_schema(text, text)',
        'delete_custom_build(text, integer)', 'forget_custom_ranges(text, integer)'
    ];
BEGIN
    GRANT USAGE, CREATE ON SCHEMA audit_trail TO audit_trail_custom_owner;
    GRANT SELECT ON audit_trail.own_projection, audit_trail.projection TO audit_trail_custom_owner;
    FOREACH name IN ARRAY as_custom_owner LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION audit_trail.%s FROM PUBLIC', name);
        EXECUTE format('ALTER FUNCTION audit_trail.%s OWNER TO audit_trail_custom_owner', name);
    END LOOP;
    REVOKE CREATE ON SCHEMA audit_trail FROM audit_trail_custom_owner;
    GRANT EXECUTE ON FUNCTION audit_trail.make_custom_tables(text, text, jsonb, boolean),
        audit_trail.index_custom_table(text, text, jsonb, integer),
        audit_trail.finish_custom_table(text, text, text), audit_trail.drop_custom_partial(text, text, text),
        audit_trail.stage_custom_table(text, text, text), audit_trail.drop_custom_schema(text, text),
        audit_trail.delete_custom_build(text, integer), audit_trail.forget_custom_ranges(text, integer)
    TO audit_trail_analyst;
END
$$;

-- Existing builds: the tables change their owner, and all rights that their old owner may have given away end.
DO $$
DECLARE
    build record;
    object text;
    grantee text;
BEGIN
    FOR build IN
        SELECT custom.name, namespace.oid, namespace.nspname
        FROM pg_catalog.pg_namespace AS namespace
        INNER JOIN audit_trail.own_projection AS custom
            ON namespace.nspname ~ ('^' || custom.name || '_v[0-9]{1,9}(_b[0-9]{1,9})?$')
    LOOP
        EXECUTE format('ALTER SCHEMA %I OWNER TO audit_trail_custom_owner', build.nspname);
        FOR grantee IN
            SELECT DISTINCT coalesce(quote_ident(role.rolname), 'PUBLIC')
            FROM pg_catalog.pg_namespace AS namespace
            CROSS JOIN LATERAL aclexplode(namespace.nspacl) AS privilege
            LEFT JOIN pg_catalog.pg_roles AS role ON privilege.grantee = role.oid
            WHERE namespace.oid = build.oid AND privilege.grantee <> namespace.nspowner
        LOOP
            EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %s CASCADE', build.nspname, grantee);
        END LOOP;
        FOR object IN
            SELECT format('%I.%I', build.nspname, relname) FROM pg_catalog.pg_class
            WHERE relnamespace = build.oid AND relkind = 'r'
        LOOP
            EXECUTE format('ALTER TABLE %s OWNER TO audit_trail_custom_owner', object);
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', object);
            FOR grantee IN
                SELECT coalesce(quote_ident(role.rolname), 'PUBLIC')
                FROM pg_catalog.pg_class AS held
                LEFT JOIN pg_catalog.pg_attribute AS attribute ON held.oid = attribute.attrelid
                CROSS JOIN LATERAL aclexplode(coalesce(held.relacl, '{}') || coalesce(attribute.attacl, '{}'))
                    AS privilege
                LEFT JOIN pg_catalog.pg_roles AS role ON privilege.grantee = role.oid
                WHERE held.oid = object::regclass AND privilege.grantee <> held.relowner
                GROUP BY 1
            LOOP
                EXECUTE format('REVOKE ALL ON TABLE %s FROM %s CASCADE', object, grantee);
            END LOOP;
        END LOOP;
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'audit_trail_own_' || build.name) THEN
            PERFORM audit_trail.grant_custom_build(build.name, build.nspname);
        ELSE
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO audit_trail_reader', build.nspname);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO audit_trail_reader', build.nspname);
        END IF;
    END LOOP;
END
$$;

-- Who works on a projection is said by rows that only its own roles may lock. Any login can take any advisory lock.
CREATE TABLE audit_trail.projection_lock (
    name text PRIMARY KEY
);
COMMENT ON TABLE audit_trail.projection_lock IS
    'One row for each projection. A transaction that makes or removes builds locks the row of its projection.';

ALTER TABLE audit_trail.projection_holder
ADD COLUMN backend integer NOT NULL DEFAULT 0,
ADD COLUMN mark bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN audit_trail.projection_holder.mark IS
    'A random number. The session `backend` has an advisory lock on it as long as it lives; no other lock counts.';

GRANT UPDATE (work, host, pid, since, backend, mark) ON audit_trail.projection_holder TO audit_trail_analyst;
ALTER TABLE audit_trail.projection_lock ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_read ON audit_trail.projection_lock FOR SELECT USING (true);
CREATE POLICY projector_writes ON audit_trail.projection_lock TO audit_trail_projector USING (true);
CREATE POLICY owner_writes ON audit_trail.projection_lock TO audit_trail_analyst
USING (current_user = 'audit_trail_own_' || name AND NOT audit_trail.is_reserved_name(name));
GRANT SELECT, INSERT, UPDATE ON audit_trail.projection_lock TO audit_trail_projector;
GRANT SELECT, INSERT, UPDATE (name) ON audit_trail.projection_lock TO audit_trail_analyst;

-- Roles are the server's: another database may have a role that would be the owner of a built-in projection here.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['projection_range', 'projection_skip', 'projection_holder'] LOOP
        EXECUTE format('ALTER POLICY owner_writes ON audit_trail.%I
            USING (current_user = ''audit_trail_own_'' || name AND NOT audit_trail.is_reserved_name(name))', name);
    END LOOP;
END
$$;
ALTER POLICY owner_writes ON audit_trail.projection
USING (current_user = 'audit_trail_own_' || name AND NOT audit_trail.is_reserved_name(name))
WITH CHECK (current_user = 'audit_trail_own_' || name AND NOT audit_trail.is_reserved_name(name));
REVOKE ALL ON FUNCTION audit_trail.is_reserved_name(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_trail.is_reserved_name(text) TO audit_trail_analyst, audit_trail_projector;

-- An analyst may begin a projection; from then on its role is the beginner's. An operator grants it to others. Two who
-- begin one name at the same time wait for each other at the key of own_projection, and at nothing else.
CREATE OR REPLACE FUNCTION audit_trail.own_projection(wanted text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    own CONSTANT text := 'audit_trail_own_' || wanted;
    held text;
    begun boolean;
BEGIN
    IF wanted IS NULL OR wanted !~ '^[a-z][a-z0-9_]{0,39}$' OR wanted LIKE 'pg\_%' THEN
        RAISE EXCEPTION 'this is no name of a projection' USING ERRCODE = 'invalid_name';
    END IF;
    IF audit_trail.is_reserved_name(wanted) THEN
        RAISE EXCEPTION 'the name % is reserved for a projection that comes with Audit Trail', wanted
            USING ERRCODE = 'duplicate_object';
    END IF;
    INSERT INTO audit_trail.own_projection (name, created_by) VALUES (wanted, session_user) ON CONFLICT DO NOTHING;
    begun := FOUND;
    IF begun AND EXISTS (SELECT FROM audit_trail.projection AS each WHERE each.name = wanted) THEN
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
        -- Tables that are older than the role, as after a restore on another server.
        FOR held IN
            SELECT nspname FROM pg_namespace
            WHERE nspowner = 'audit_trail_custom_owner'::regrole
                AND nspname ~ ('^' || wanted || '_v[0-9]{1,9}(_b[0-9]{1,9})?$')
        LOOP
            PERFORM audit_trail.grant_custom_build(wanted, held);
        END LOOP;
    ELSIF NOT pg_has_role(session_user, own, 'MEMBER') THEN
        RAISE EXCEPTION 'the projection % belongs to another login: its role is %', wanted, own
            USING ERRCODE = 'duplicate_object';
    END IF;
    -- Counted last: PostgreSQL lets one transaction at a time give membership in a role.
    IF begun AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a projection is begun in a transaction that is READ COMMITTED'
            USING ERRCODE = 'active_sql_transaction';
    END IF;
    IF begun AND (SELECT count(*) FROM audit_trail.own_projection AS each WHERE each.created_by = session_user)
        > audit_trail.projection_limit('projections') THEN
        RAISE EXCEPTION 'login % has begun % projections, which is the most: remove those that are not needed with'
            ' `audit-trail projections remove`', session_user, audit_trail.projection_limit('projections')
            USING ERRCODE = 'AT001';
    END IF;
    RETURN own;
END
$$;

-- All that is left of an own projection once none of its builds is live: tables, registry, role. Decisions about events
-- that it left out are kept. The schemas are found by their owner and by names that follow from the projection's own,
-- never by what the registry says.
CREATE OR REPLACE FUNCTION audit_trail.remove_own_projection(wanted text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    own CONSTANT text := 'audit_trail_own_' || wanted;
    held text;
BEGIN
    PERFORM FROM audit_trail.own_projection AS each WHERE each.name = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no projection of this login' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT pg_has_role(session_user, own, 'MEMBER') THEN
        RAISE EXCEPTION 'no projection of this login' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM audit_trail.projection_lock AS each WHERE each.name = wanted FOR UPDATE;
    IF EXISTS (SELECT FROM audit_trail.projection AS each WHERE each.name = wanted AND each.live) THEN
        RAISE EXCEPTION 'the projection % is live', wanted USING ERRCODE = 'object_in_use';
    END IF;
    FOR held IN
        SELECT nspname FROM pg_namespace
        WHERE nspowner = 'audit_trail_custom_owner'::regrole
            AND nspname ~ ('^' || wanted || '_v[0-9]{1,9}(_b[0-9]{1,9})?$')
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', held);
    END LOOP;
    DELETE FROM audit_trail.projection AS each WHERE each.name = wanted;
    DELETE FROM audit_trail.projection_holder AS each WHERE each.name = wanted;
    DELETE FROM audit_trail.projection_lock AS each WHERE each.name = wanted;
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

-- pg_temp is searched first unless it is named, and a session's own types and tables would then hide PostgreSQL's.
DO $$
BEGIN
    ALTER FUNCTION audit_trail.add_partitions(bigint) SET search_path = pg_catalog, pg_temp;
    ALTER FUNCTION audit_trail.refuse_change() SET search_path = pg_catalog, pg_temp;
    ALTER FUNCTION audit_trail.only_forward() SET search_path = pg_catalog, pg_temp;
END
$$;
REVOKE ALL ON FUNCTION audit_trail.refuse_change(), audit_trail.only_forward() FROM PUBLIC;
