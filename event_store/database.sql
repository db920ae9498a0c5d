-- name: server_process
-- The server's own number: a pooler in between reports another one.
SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_postmaster_start_time()::pg_catalog.text;

-- name: session
-- No object that somebody put into a schema of this database may hide one of PostgreSQL itself.
SET search_path = pg_catalog, pg_temp;
SET TIME ZONE 'UTC';
SET statement_timeout = %(statement_timeout)s;
SET lock_timeout = %(lock_timeout)s;

-- name: reader_session
-- Readers need plans that follow an index in its order and stop at the page's end, whatever the statistics of a young
-- table say. The session has these settings once: in each transaction they would take a tenth of a page's time.
-- Statements that a reader sends in one call are one snapshot too.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_hashagg = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET enable_seqscan = off;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET default_transaction_isolation = 'repeatable read';
SET default_transaction_read_only = on;
