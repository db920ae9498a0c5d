-- name: announce
-- Nobody waits for the disk, nor for others who notify, to learn that there is something to read.
SET LOCAL synchronous_commit = off;
SET LOCAL lock_timeout = '100ms';
SELECT pg_notify(%(channel)s, %(size)s);

-- name: shrink_queue
-- PostgreSQL gives back what all listeners have read when somebody notifies, which nobody can while the queue is full,
-- and when it is asked for the usage.
SELECT pg_notification_queue_usage();
