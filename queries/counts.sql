-- name: plan_counts
-- A count reads all that it counts, and puts it in order afterwards: without these the planner would rather read the
-- whole trail in the order of an index than sort a week of it.
SELECT
    set_config('enable_sort', 'on', true),
    set_config('enable_hashagg', 'on', true);

-- name: have_columns
-- Whether the live builds have each column of its table: they may be of versions before it was added.
SELECT bool_and(pg_attribute.attname IS NOT NULL)
FROM unnest(%(tables)s, %(columns)s) AS wanted (table_name, column_name)
LEFT JOIN pg_attribute
    ON pg_attribute.attrelid = to_regclass(wanted.table_name) AND pg_attribute.attname = wanted.column_name;

-- name: plan_sums
-- The same for precomputed counts, of which most of a table may be added up: a bitmap reads each of its pages once.
SELECT
    set_config('enable_sort', 'on', true),
    set_config('enable_hashagg', 'on', true),
    set_config('enable_bitmapscan', 'on', true);
