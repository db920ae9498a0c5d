-- name: active
-- The rules that count now. Of each: its alerts, counted up to `most`, and the cases of its newest `judged` alerts.
-- Alerts about `hidden_actors` are counted nowhere: the list of alerts would tell how many of them there are.
WITH newest AS (
    SELECT max(active_rule.position) AS position FROM active_rule
)

SELECT
    rule.position,
    rule.set_digest,
    rule.rule_id,
    rule.rule_digest,
    rule.title,
    rule.level,
    rule.author,
    rule.missing,
    rule.active_from,
    raised.alerts,
    coalesce(cases.open_cases, 0) AS open_cases,
    coalesce(cases.justified, 0) AS justified,
    coalesce(cases.policy_breaches, 0) AS policy_breaches,
    coalesce(cases.false_alarms, 0) AS false_alarms
FROM active_rule AS rule
CROSS JOIN LATERAL (
    SELECT count(*) AS alerts
    FROM (
        SELECT FROM alert
        WHERE
            alert.rule_id = rule.rule_id
            AND (alert.actor IS NULL OR alert.actor <> ALL(%(hidden_actors)s::text []))
        ORDER BY alert.position ASC
        LIMIT %(most)s
    ) AS counted
) AS raised
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE judged.state = 'open') AS open_cases,
        count(*) FILTER (WHERE judged.state = 'decided' AND judged.verdict = 'justified') AS justified,
        count(*) FILTER (WHERE judged.state = 'decided' AND judged.verdict = 'policy_breach') AS policy_breaches,
        count(*) FILTER (WHERE judged.state = 'decided' AND judged.verdict = 'false_alarm') AS false_alarms
    FROM (
        SELECT DISTINCT
            detection_case.case_id,
            detection_case.state,
            detection_case.verdict
        FROM (
            SELECT alert.alert_id FROM alert
            WHERE
                alert.rule_id = rule.rule_id
                AND (alert.actor IS NULL OR alert.actor <> ALL(%(hidden_actors)s::text []))
            ORDER BY alert.position DESC, alert.alert_id DESC
            LIMIT %(judged)s
        ) AS recent
        INNER JOIN case_alert ON recent.alert_id = case_alert.alert_id
        INNER JOIN detection_case ON case_alert.case_id = detection_case.case_id
    ) AS judged
) AS cases
WHERE
    rule.position = (SELECT newest.position FROM newest)
    AND (%(rule_id)s::text IS NULL OR rule.rule_id = %(rule_id)s)
ORDER BY rule.title ASC, rule.rule_id ASC;

-- name: switched_off
-- The document of a set that lists the rules that report nothing.
SELECT document.value ->> 1
FROM audit_trail.rule_set
CROSS JOIN jsonb_array_elements(rule_set.documents) AS document (value)
WHERE rule_set.digest = %(digest)s AND document.value ->> 0 = 'switched_off.json';

-- name: fault
-- Why the files of rules do not count, if they do not.
SELECT
    fault,
    since
FROM audit_trail.rule_folder_fault;

-- name: files
-- The files of a set that name a rule by its id.
SELECT
    document.value ->> 0,
    document.value ->> 1
FROM audit_trail.rule_set
CROSS JOIN jsonb_array_elements(rule_set.documents) AS document (value)
WHERE rule_set.digest = %(digest)s AND strpos(document.value ->> 1, %(rule_id)s) > 0
ORDER BY document.value ->> 0;

-- name: activations
-- The newest decisions that a set of rules counts.
SELECT
    event_id,
    digest,
    details,
    decided_at,
    published_at
FROM audit_trail.rule_activation
ORDER BY id DESC
LIMIT %(limit)s;
