-- name: probe
-- For each of these server processes: whether it waits for its client. Also the start time of the server.
SELECT
    pg_catalog.pg_postmaster_start_time()::pg_catalog.text,
    activity.pid,
    coalesce(activity.state LIKE 'idle%%' OR activity.wait_event = 'ClientRead', false)
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = any(%(pids)s);

-- name: cancel
-- Cancel the statement of a process. The start time excludes an equal pid of another server or from before a restart.
SELECT pg_catalog.pg_cancel_backend(%(pid)s)
WHERE pg_catalog.pg_postmaster_start_time()::pg_catalog.text = %(started)s;
