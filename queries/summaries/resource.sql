-- name: find_resource
-- When a resource was first and last touched, in the order of the log: two look-ups at the ends of one index range.
SELECT
    (
        SELECT activity.occurred_at
        FROM activity_resource AS touched
        INNER JOIN activity ON touched.position = activity.position
        WHERE touched.type = %(type)s AND touched.id = %(id)s
        ORDER BY touched.position ASC
        LIMIT 1
    ) AS first_seen,
    (
        SELECT activity.occurred_at
        FROM activity_resource AS touched
        INNER JOIN activity ON touched.position = activity.position
        WHERE touched.type = %(type)s AND touched.id = %(id)s
        ORDER BY touched.position DESC
        LIMIT 1
    ) AS last_seen;
