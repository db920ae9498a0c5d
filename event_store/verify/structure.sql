-- name: triggers
-- Every trigger of the trail's own tables, inner ones of foreign keys left out. A row trigger of a partitioned table
-- has a copy on each partition.
SELECT
    relation.relname,
    trigger.tgname,
    trigger.tgenabled::text,
    function.proname,
    trigger.tgtype::integer,
    trigger.tgqual IS NOT NULL OR trigger.tgattr::text <> ''
FROM pg_catalog.pg_trigger AS trigger
INNER JOIN pg_catalog.pg_class AS relation ON trigger.tgrelid = relation.oid
INNER JOIN pg_catalog.pg_proc AS function ON trigger.tgfoid = function.oid
WHERE relation.relnamespace = 'audit_trail'::regnamespace AND NOT trigger.tgisinternal;

-- name: partitions
SELECT child.relname
FROM pg_catalog.pg_inherits AS inheritance
INNER JOIN pg_catalog.pg_class AS child ON inheritance.inhrelid = child.oid
WHERE inheritance.inhparent = 'audit_trail.event'::regclass
ORDER BY child.relname;

-- name: primary_keys
SELECT relation.relname
FROM pg_catalog.pg_index AS index
INNER JOIN pg_catalog.pg_class AS relation ON index.indrelid = relation.oid
WHERE
    relation.relnamespace = 'audit_trail'::regnamespace
    AND index.indisprimary
    AND index.indisvalid
    AND index.indisready;

-- name: functions
SELECT
    function.proname,
    function.prosrc,
    language.lanname,
    coalesce(function.proconfig, '{}')
FROM pg_catalog.pg_proc AS function
INNER JOIN pg_catalog.pg_language AS language ON function.prolang = language.oid
WHERE function.pronamespace = 'audit_trail'::regnamespace;

-- name: rules
-- Rewrite rules and row security change what a statement does without a trace in the statement.
SELECT
    relation.relname,
    rule.rulename
FROM pg_catalog.pg_rewrite AS rule
INNER JOIN pg_catalog.pg_class AS relation ON rule.ev_class = relation.oid
WHERE relation.relnamespace = 'audit_trail'::regnamespace AND relation.relkind IN ('r', 'p');

-- name: kinds
SELECT
    relname,
    relkind::text,
    relrowsecurity OR relforcerowsecurity,
    pg_catalog.pg_get_userbyid(relowner)
FROM pg_catalog.pg_class
WHERE relnamespace = 'audit_trail'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: rights
-- Who may change what, beyond the owner: privileges of tables and of single columns.
SELECT
    relation.relname,
    coalesce(grantee.rolname, 'everybody'),
    privilege.privilege_type
FROM pg_catalog.pg_class AS relation
CROSS JOIN LATERAL pg_catalog.aclexplode(relation.relacl) AS privilege
LEFT JOIN pg_catalog.pg_roles AS grantee ON privilege.grantee = grantee.oid
WHERE
    relation.relnamespace = 'audit_trail'::regnamespace
    AND relation.relkind IN ('r', 'p')
    AND privilege.grantee <> relation.relowner
    AND (privilege.privilege_type <> 'SELECT' OR privilege.grantee = 0)
UNION ALL
SELECT
    relation.relname,
    coalesce(grantee.rolname, 'everybody'),
    privilege.privilege_type || ' of ' || attribute.attname
FROM pg_catalog.pg_attribute AS attribute
INNER JOIN pg_catalog.pg_class AS relation ON attribute.attrelid = relation.oid
CROSS JOIN LATERAL pg_catalog.aclexplode(attribute.attacl) AS privilege
LEFT JOIN pg_catalog.pg_roles AS grantee ON privilege.grantee = grantee.oid
WHERE
    relation.relnamespace = 'audit_trail'::regnamespace
    AND privilege.grantee <> relation.relowner
    AND privilege.privilege_type <> 'SELECT';

-- name: roles
-- A service's role must be no more than it is: no superuser, no owner, no member of an owner.
SELECT
    service.rolname,
    service.rolsuper OR service.rolbypassrls OR service.rolcreaterole OR service.rolreplication,
    pg_catalog.pg_has_role(service.oid, relation.relowner, 'MEMBER')
FROM pg_catalog.pg_roles AS service
CROSS JOIN pg_catalog.pg_class AS relation
WHERE
    service.rolname IN ('audit_trail_ingest', 'audit_trail_projector', 'audit_trail_reader', 'audit_trail_guard')
    AND relation.oid = 'audit_trail.event'::regclass;

-- name: replication_roles
-- With this setting triggers stay silent, for whole databases and logins.
SELECT
    coalesce(role.rolname, 'every login'),
    option.value
FROM pg_catalog.pg_db_role_setting AS setting
LEFT JOIN pg_catalog.pg_roles AS role ON setting.setrole = role.oid
CROSS JOIN LATERAL unnest(setting.setconfig) AS option (value)
WHERE
    option.value ILIKE 'session_replication_role=%'
    AND setting.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()));
