-- name: active_from
-- The schema of the live build is the search path, here and below.
SELECT max(position) FROM active_rule;

-- name: rules
SELECT
    active_rule.rule_id,
    active_rule.title,
    active_rule.level,
    active_rule.missing,
    (SELECT count(*) FROM alert WHERE alert.rule_id = active_rule.rule_id) AS alerts
FROM active_rule
WHERE active_rule.position = %(position)s
ORDER BY active_rule.title ASC, active_rule.rule_id ASC;

-- name: unpublished
SELECT count(*)
FROM alert
WHERE
    alert.suppressed_by IS NULL
    AND NOT EXISTS (
        SELECT FROM audit_trail.alert_publication WHERE alert_publication.alert_id = alert.alert_id::uuid
    );
