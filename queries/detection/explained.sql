-- name: by_department
-- The accesses of some days by department and rule; of the departments with the most accesses. An empty rule id stands
-- for no rule.
WITH days AS (
    SELECT
        department,
        rule_id,
        sum(accesses)::bigint AS accesses
    FROM explained_access
    WHERE day >= %(since)s AND day < %(until)s
    GROUP BY department, rule_id
),

largest AS (
    SELECT
        department,
        sum(accesses) AS accesses
    FROM days
    GROUP BY department
    ORDER BY sum(accesses) DESC, department ASC
    LIMIT %(departments)s
)

SELECT
    days.department,
    days.rule_id,
    days.accesses
FROM days
INNER JOIN largest ON days.department = largest.department
ORDER BY largest.accesses DESC, days.department ASC, days.accesses DESC, days.rule_id ASC;
