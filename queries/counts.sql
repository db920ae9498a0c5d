-- name: plan_counts
-- A count reads all that it counts, and puts it in order afterwards: without these the planner would rather read the
-- whole trail in the order of an index than sort a week of it.
SELECT
    set_config('enable_sort', 'on', true),
    set_config('enable_hashagg', 'on', true);

-- name: plan_sums
-- The same for precomputed counts, of which most of a table may be added up: a bitmap reads each of its pages once.
SELECT
    set_config('enable_sort', 'on', true),
    set_config('enable_hashagg', 'on', true),
    set_config('enable_bitmapscan', 'on', true);
