-- name: checkpoint
SELECT position FROM audit_trail.projection
WHERE name = %(name)s AND live;

-- name: unpublished
-- The schema of the live build is the search path.
SELECT
    alert.position,
    alert.raised_at,
    alert.begins,
    alert.ends,
    alert.events,
    alert.final,
    alert.alert_id,
    alert.kind,
    alert.rule_id,
    alert.rule_digest,
    alert.title,
    alert.level,
    alert.group_key,
    alert.actor,
    alert.positions,
    alert.reasons,
    alert.suppressed_by
FROM alert
WHERE
    alert.position > %(after)s
    AND alert.suppressed_by IS NULL
    AND NOT EXISTS (
        SELECT FROM audit_trail.alert_publication WHERE alert_publication.alert_id = alert.alert_id::uuid
    )
ORDER BY alert.position, alert.alert_id
LIMIT %(limit)s;

-- name: count_unpublished
SELECT count(*)
FROM alert
WHERE
    alert.suppressed_by IS NULL
    AND NOT EXISTS (
        SELECT FROM audit_trail.alert_publication WHERE alert_publication.alert_id = alert.alert_id::uuid
    );

-- name: published
INSERT INTO audit_trail.alert_publication (alert_id)
SELECT unnest(%(ids)s::uuid [])
ON CONFLICT (alert_id) DO NOTHING;
