-- name: newest_staff
SELECT
    digest,
    content
FROM audit_trail.newest_staff();
