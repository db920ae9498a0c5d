-- name: find_device
-- A device's summary.
SELECT name, first_at, last_at, events, connected
FROM device_summary
WHERE device_id = %(id)s;

-- name: list_versions
-- The versions that a device was seen with, the latest first.
SELECT version, first_at, last_at
FROM device_version
WHERE device_id = %(id)s AND kind = %(kind)s
ORDER BY last_at DESC, digest ASC
LIMIT %(limit)s;

-- name: list_changes
-- A device's configuration changes, the latest first. As text: the driver's own JSON reader is slow and inexact.
SELECT position, occurred_at, actor_id, path, before::text, after::text, outcome
FROM device_configuration
WHERE device_id = %(id)s
ORDER BY position DESC, number DESC
LIMIT %(limit)s;
