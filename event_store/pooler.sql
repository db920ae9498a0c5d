-- name: process
-- The server process that answers this statement.
SELECT pg_catalog.pg_backend_pid();
