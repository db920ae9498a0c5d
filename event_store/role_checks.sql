-- name: unusable_roles
-- The roles that this login would have to create or to use, without the right to do so. It grants the first kind to
-- others, and owns functions and schemas as the second. Until PostgreSQL 16 CREATEROLE is enough for both.
SELECT needed.name
FROM (
    VALUES
    ('audit_trail_analyst', 'grants'), ('audit_trail_batch', 'owns as'), ('audit_trail_custom_owner', 'owns as'),
    ('audit_trail_ingest', ''), ('audit_trail_projector', ''), ('audit_trail_reader', ''), ('audit_trail_guard', ''),
    ('audit_trail_watcher', ''), ('audit_trail_forwarder', ''), ('audit_trail_context', '')
) AS needed (name, use)
CROSS JOIN pg_roles AS login
LEFT JOIN pg_roles AS found ON needed.name = found.rolname
WHERE
    login.rolname = current_user
    AND NOT login.rolsuper
    AND NOT (login.rolcreaterole AND (found.oid IS NULL OR current_setting('server_version_num')::integer < 160000))
    AND (
        found.oid IS NULL
        OR (
            needed.use <> ''
            AND NOT pg_has_role(found.oid, 'MEMBER WITH ADMIN OPTION')
            AND NOT (needed.use = 'owns as' AND pg_has_role(found.oid, 'USAGE'))
        )
    )
ORDER BY needed.name ASC;
