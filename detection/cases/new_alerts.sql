-- name: after
-- Alerts after a place, in the order in which they were raised, that no case has. The tables are those of the live
-- build; what the log has since its checkpoint is not in them, so an alert may be in a case nevertheless.
SELECT
    alert.position,
    alert.alert_id,
    alert.rule_id,
    alert.title,
    alert.level,
    alert.group_key,
    alert.actor,
    alert.raised_at
FROM alert
WHERE
    (alert.position, alert.alert_id) > (%(position)s, %(alert_id)s)
    AND alert.suppressed_by IS NULL
    -- The other kinds say that a rule may have missed something: nobody did anything.
    AND alert.kind = 'match'
    AND NOT EXISTS (SELECT FROM case_alert WHERE case_alert.alert_id = alert.alert_id)
ORDER BY alert.position ASC, alert.alert_id ASC
LIMIT %(limit)s;
