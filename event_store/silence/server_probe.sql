-- name: probe
-- What the server's processes do, by pid: whether each waits for its client. And when the server started.
SELECT
    pg_catalog.pg_postmaster_start_time()::pg_catalog.text,
    activity.pid,
    coalesce(activity.state LIKE 'idle%%' OR activity.wait_event = 'ClientRead', false)
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = any(%(pids)s);

-- name: cancel
-- Cancel what a process of this server does. A number of another server, or from before a restart, is somebody else's.
SELECT pg_catalog.pg_cancel_backend(%(pid)s)
WHERE pg_catalog.pg_postmaster_start_time()::pg_catalog.text = %(started)s;
