-- name: announce
-- A notification need not wait for the disk, nor for other sessions that notify.
SET LOCAL synchronous_commit = off;
SET LOCAL lock_timeout = '100ms';
SELECT pg_notify(%(channel)s, %(payload)s);

-- name: shrink_queue
-- PostgreSQL frees the entries that all listeners have read at the next NOTIFY, which a full queue prevents, and when
-- the usage is queried.
SELECT pg_notification_queue_usage();
