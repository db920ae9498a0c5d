-- name: described
-- The tables of the log with their triggers, the functions and the rights, one row each: kind, name, definition. The
-- rows of a partition stand for all partitions; NOT NULL is part of its column.
WITH relation AS (
    SELECT
        oid,
        relname,
        relkind,
        relpersistence,
        relrowsecurity,
        relforcerowsecurity,
        relacl,
        relowner,
        CASE WHEN relispartition THEN 'event_partition' ELSE relname::text END AS name
    FROM pg_catalog.pg_class
    WHERE
        relnamespace = 'audit_trail'::regnamespace
        AND relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (relname = ANY(%(tables)s) OR relispartition)
)

SELECT
    'table' AS kind,
    name,
    concat_ws(
        ' ', relkind, relpersistence, CASE WHEN relrowsecurity OR relforcerowsecurity THEN 'with row security' END
    ) AS definition
FROM relation
UNION
SELECT
    'column',
    relation.name || '.' || attribute.attname,
    concat_ws(
        ' ',
        format_type(attribute.atttypid, attribute.atttypmod),
        CASE WHEN attribute.attnotnull THEN 'NOT NULL' END,
        pg_get_expr(def.adbin, def.adrelid),
        nullif(attribute.attgenerated, '')
    )
FROM relation
INNER JOIN pg_catalog.pg_attribute AS attribute ON relation.oid = attribute.attrelid
LEFT JOIN pg_catalog.pg_attrdef AS def ON attribute.attrelid = def.adrelid AND attribute.attnum = def.adnum
WHERE attribute.attnum > 0 AND NOT attribute.attisdropped
UNION
SELECT
    'constraint',
    relation.name || ': ' || pg_get_constraintdef(held.oid),
    CASE WHEN held.convalidated THEN 'valid' ELSE 'not valid' END
FROM relation
INNER JOIN pg_catalog.pg_constraint AS held ON relation.oid = held.conrelid
WHERE held.contype IN ('p', 'u', 'c', 'f', 'x')
UNION
SELECT
    'trigger',
    relation.name || '.' || held.tgname,
    concat_ws(
        ' ',
        CASE WHEN held.tgenabled IN ('O', 'A') THEN 'on' ELSE 'switched off' END,
        held.tgtype,
        held.tgfoid::regprocedure,
        held.tgqual,
        nullif(held.tgattr::text, '')
    )
FROM relation
INNER JOIN pg_catalog.pg_trigger AS held ON relation.oid = held.tgrelid
WHERE NOT (held.tgisinternal AND held.tgconstraint <> 0)
UNION
SELECT
    'rule',
    relation.name || '.' || held.rulename,
    'a rewrite rule'
FROM relation
INNER JOIN pg_catalog.pg_rewrite AS held ON relation.oid = held.ev_class
UNION
SELECT
    'policy',
    relation.name || '.' || held.polname,
    'a row policy'
FROM relation
INNER JOIN pg_catalog.pg_policy AS held ON relation.oid = held.polrelid
UNION
SELECT
    'function',
    function.oid::regprocedure::text,
    concat_ws(
        ' ',
        language.lanname,
        CASE WHEN function.prosecdef THEN 'with its owner''s rights' END,
        -- Without the limit that only a superuser's migration can set.
        ARRAY(SELECT option FROM unnest(function.proconfig) AS option WHERE option NOT LIKE 'temp_file_limit=%%'),
        encode(sha256(convert_to(function.prosrc, 'UTF8')), 'hex')
    )
FROM pg_catalog.pg_proc AS function
INNER JOIN pg_catalog.pg_language AS language ON function.prolang = language.oid
WHERE function.pronamespace = 'audit_trail'::regnamespace
UNION
SELECT
    'right',
    concat_ws(' ', coalesce(grantee.rolname, 'everybody'), privilege.privilege_type, 'on', relation.name),
    'granted'
FROM relation
CROSS JOIN LATERAL aclexplode(relation.relacl) AS privilege
LEFT JOIN pg_catalog.pg_roles AS grantee ON privilege.grantee = grantee.oid
WHERE
    privilege.grantee <> relation.relowner
    AND (privilege.privilege_type <> 'SELECT' OR privilege.grantee = 0)
UNION
SELECT
    'right',
    concat_ws(
        ' ', coalesce(grantee.rolname, 'everybody'), privilege.privilege_type, 'on', relation.name, attribute.attname
    ),
    'granted'
FROM relation
INNER JOIN pg_catalog.pg_attribute AS attribute ON relation.oid = attribute.attrelid
CROSS JOIN LATERAL aclexplode(attribute.attacl) AS privilege
LEFT JOIN pg_catalog.pg_roles AS grantee ON privilege.grantee = grantee.oid
WHERE privilege.grantee <> relation.relowner AND (privilege.privilege_type <> 'SELECT' OR privilege.grantee = 0)
UNION
SELECT
    'right',
    concat_ws(' ', coalesce(grantee.rolname, 'everybody'), privilege.privilege_type, 'on the schema'),
    'granted'
FROM pg_catalog.pg_namespace AS namespace
CROSS JOIN LATERAL aclexplode(namespace.nspacl) AS privilege
LEFT JOIN pg_catalog.pg_roles AS grantee ON privilege.grantee = grantee.oid
WHERE
    namespace.nspname = 'audit_trail'
    AND privilege.grantee <> namespace.nspowner
    AND privilege.privilege_type <> 'USAGE';

-- name: owners
-- The schema, the tables and the functions have one owner, which is not a service role. Two kinds of function have an
-- owner with fewer rights: those that run an analyst's SQL, and those that create the tables of custom projections.
WITH trail AS (
    SELECT relowner AS owner
    FROM pg_catalog.pg_class
    WHERE oid = to_regclass('audit_trail.migration')
)

SELECT
    owned.name,
    pg_get_userbyid(owned.owner)
FROM (
    SELECT
        'the schema' AS name,
        nspowner AS owner,
        NULL::oid AS expected
    FROM pg_catalog.pg_namespace
    WHERE nspname = 'audit_trail'
    UNION ALL
    SELECT
        relname::text,
        relowner,
        NULL
    FROM pg_catalog.pg_class
    WHERE relnamespace = 'audit_trail'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT
        'the function ' || proname,
        proowner,
        CASE
            WHEN proname = 'batch_rows' THEN to_regrole('audit_trail_batch')
            WHEN proname ~ '_custom_|^custom_' THEN to_regrole('audit_trail_custom_owner')
        END
    FROM pg_catalog.pg_proc
    WHERE pronamespace = 'audit_trail'::regnamespace
) AS owned
CROSS JOIN trail
WHERE
    owned.owner <> coalesce(owned.expected, trail.owner)
    OR (owned.expected IS NULL AND pg_get_userbyid(owned.owner) LIKE 'audit\_trail\_%%');

-- name: roles
-- A service role must have no administrator attributes, and no memberships but those that its migration granted.
SELECT
    service.rolname,
    concat_ws(
        ', ',
        CASE WHEN service.rolsuper THEN 'is a superuser' END,
        CASE WHEN service.rolbypassrls THEN 'passes row security' END,
        CASE WHEN service.rolcreaterole THEN 'may make roles' END,
        CASE WHEN service.rolreplication THEN 'may replicate' END,
        CASE WHEN service.rolcreatedb THEN 'may make databases' END,
        (
            SELECT string_agg('is a member of ' || granted.rolname, ', ' ORDER BY granted.rolname)
            FROM pg_catalog.pg_auth_members AS membership
            INNER JOIN pg_catalog.pg_roles AS granted ON membership.roleid = granted.oid
            WHERE
                membership.member = service.oid
                AND NOT (
                    service.rolname IN ('audit_trail_projector', 'audit_trail_analyst')
                    AND (granted.rolname = 'audit_trail_analyst' OR granted.rolname LIKE 'audit\_trail\_own\_%%')
                    OR service.rolname LIKE 'audit\_trail\_own\_%%' AND granted.rolname = 'audit_trail_analyst'
                )
        )
    )
FROM pg_catalog.pg_roles AS service
WHERE service.rolname LIKE 'audit\_trail\_%%'
UNION ALL
-- A member of the role that owns custom tables could attach code to them that other sessions run.
SELECT
    member.rolname,
    'is a member of ' || granted.rolname
FROM pg_catalog.pg_auth_members AS membership
INNER JOIN pg_catalog.pg_roles AS granted ON membership.roleid = granted.oid
INNER JOIN pg_catalog.pg_roles AS member ON membership.member = member.oid
WHERE
    granted.rolname IN ('audit_trail_custom_owner', 'audit_trail_batch')
    AND member.rolname NOT LIKE 'audit\_trail\_%%'
    AND NOT member.rolsuper
    AND NOT member.rolcreaterole;

-- name: silent_triggers
-- What can silence triggers: the setting for databases, logins and the server, and the right to change it.
SELECT 'session_replication_role is set for ' || coalesce(role.rolname, 'every login')
FROM pg_catalog.pg_db_role_setting AS setting
LEFT JOIN pg_catalog.pg_roles AS role ON setting.setrole = role.oid
CROSS JOIN LATERAL unnest(setting.setconfig) AS option (value)
WHERE
    option.value ILIKE 'session_replication_role=%%'
    AND setting.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
UNION ALL
SELECT 'session_replication_role is set for the server'
FROM pg_catalog.pg_settings
WHERE name = 'session_replication_role' AND (setting <> 'origin' OR reset_val <> 'origin')
UNION ALL
SELECT coalesce(grantee.rolname, 'everybody') || ' may set session_replication_role'
FROM pg_catalog.pg_parameter_acl AS parameter
CROSS JOIN LATERAL aclexplode(parameter.paracl) AS privilege
LEFT JOIN pg_catalog.pg_roles AS grantee ON privilege.grantee = grantee.oid
WHERE parameter.parname = 'session_replication_role' AND coalesce(grantee.rolsuper, false) IS FALSE
UNION ALL
SELECT 'the event trigger ' || evtname || ' runs at each login'
FROM pg_catalog.pg_event_trigger
WHERE evtevent = 'login' AND evtenabled <> 'D'
UNION ALL
SELECT 'tables to come have rights that nobody should have'
FROM pg_catalog.pg_default_acl
WHERE defaclnamespace = 'audit_trail'::regnamespace;
