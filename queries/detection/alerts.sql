-- name: page
-- Alerts, the newest first. At most `walk` of them are looked at: those of the case, of the actor or of the rule if one
-- of these is given (the first of them decides), else all. The other conditions are checked on these. Each row says how
-- many were looked at, and the last of them; without any alert that matches there is one row with these alone.
WITH bounds AS (
    SELECT
        CASE
            WHEN %(since)s::timestamptz IS NULL THEN -1
            ELSE (
                SELECT since.position FROM alert AS since
                WHERE since.raised_at >= %(since)s
                ORDER BY since.raised_at ASC, since.position ASC
                LIMIT 1
            )
        END AS lowest,
        CASE
            WHEN %(until)s::timestamptz IS NULL THEN 9223372036854775807
            ELSE (
                SELECT until.position FROM alert AS until
                WHERE until.raised_at < %(until)s
                ORDER BY until.raised_at DESC, until.position DESC
                LIMIT 1
            )
        END AS highest
),

walked AS (
    SELECT alert.*
    FROM alert
    WHERE
        (alert.position, alert.alert_id) < (%(position)s, %(id)s)
        AND alert.position >= (SELECT bounds.lowest FROM bounds)
        AND alert.position <= (SELECT bounds.highest FROM bounds)
        AND (
            %(case_id)s::text IS NULL
            OR alert.alert_id IN (SELECT case_alert.alert_id FROM case_alert WHERE case_alert.case_id = %(case_id)s)
        )
        AND (%(case_id)s::text IS NOT NULL OR %(actor)s::text IS NULL OR alert.actor = %(actor)s)
        AND (
            %(case_id)s::text IS NOT NULL OR %(actor)s::text IS NOT NULL
            OR %(rule_id)s::text IS NULL OR alert.rule_id = %(rule_id)s
        )
    ORDER BY alert.position DESC, alert.alert_id DESC
    LIMIT %(walk)s
),

found AS (
    SELECT
        walked.*,
        joined.case_id,
        joined.state,
        joined.verdict
    FROM walked
    LEFT JOIN LATERAL (
        -- One look-up for each alert, also where a plan that reads all cases seems cheaper.
        SELECT
            case_alert.case_id,
            detection_case.state,
            detection_case.verdict
        FROM case_alert
        LEFT JOIN detection_case ON case_alert.case_id = detection_case.case_id
        WHERE case_alert.alert_id = walked.alert_id
        ORDER BY case_alert.case_id ASC
        LIMIT 1
    ) AS joined ON TRUE
    WHERE
        (%(actor)s::text IS NULL OR walked.actor = %(actor)s)
        AND (%(rule_id)s::text IS NULL OR walked.rule_id = %(rule_id)s)
        AND (%(levels)s::text [] IS NULL OR walked.level = ANY(%(levels)s))
        AND (%(kind)s::text IS NULL OR walked.kind = %(kind)s)
        AND (%(suppressed)s::boolean IS NULL OR (walked.suppressed_by IS NOT NULL) = %(suppressed)s)
        AND (%(since)s::timestamptz IS NULL OR walked.raised_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR walked.raised_at < %(until)s)
        AND (%(handling)s::text IS NULL OR coalesce(joined.state || '_case', 'no_case') = %(handling)s)
        AND (walked.actor IS NULL OR walked.actor <> ALL(%(hidden_actors)s::text []))
    ORDER BY walked.position DESC, walked.alert_id DESC
    LIMIT %(limit)s
),

looked AS (
    SELECT
        count(*) AS alerts,
        min(walked.position) AS position,
        (array_agg(walked.alert_id ORDER BY walked.position ASC, walked.alert_id ASC))[1] AS alert_id
    FROM walked
)

SELECT
    looked.alerts AS looked_alerts,
    looked.position AS looked_position,
    looked.alert_id AS looked_id,
    found.alert_id,
    found.position,
    found.raised_at,
    found.rule_id,
    found.rule_digest,
    found.title,
    found.level,
    found.kind,
    found.group_key,
    found.actor,
    coalesce(extent.events, found.events) AS events,
    found.final OR extent.alert_id IS NOT NULL AS final,
    found.begins,
    coalesce(extent.ends, found.ends) AS ends,
    coalesce(extent.positions, found.positions) AS positions,
    coalesce(extent.reasons, found.reasons) AS reasons,
    found.case_id,
    coalesce(found.state || '_case', 'no_case') AS case_state,
    found.verdict,
    found.suppressed_by
FROM looked
LEFT JOIN found ON TRUE
LEFT JOIN alert_extent AS extent ON found.alert_id = extent.alert_id
ORDER BY found.position DESC, found.alert_id DESC;

-- name: one
SELECT
    alert.alert_id,
    alert.position,
    alert.raised_at,
    alert.rule_id,
    alert.rule_digest,
    alert.title,
    alert.level,
    alert.kind,
    alert.group_key,
    alert.actor,
    coalesce(extent.events, alert.events) AS events,
    alert.final OR extent.alert_id IS NOT NULL AS final,
    alert.begins,
    coalesce(extent.ends, alert.ends) AS ends,
    coalesce(extent.positions, alert.positions) AS positions,
    coalesce(extent.reasons, alert.reasons) AS reasons,
    joined.case_id,
    coalesce(detection_case.state || '_case', 'no_case') AS case_state,
    detection_case.verdict,
    alert.suppressed_by
FROM alert
LEFT JOIN alert_extent AS extent ON alert.alert_id = extent.alert_id
LEFT JOIN case_alert AS joined ON alert.alert_id = joined.alert_id
LEFT JOIN detection_case ON joined.case_id = detection_case.case_id
WHERE
    alert.alert_id = %(id)s
    AND (alert.actor IS NULL OR alert.actor <> ALL(%(hidden_actors)s::text []));

-- name: after
-- Alerts after a place, the oldest first, for those who follow them. The first `walk` are looked at, and each row says
-- which was the last, as in `page`.
WITH walked AS (
    SELECT alert.*
    FROM alert
    WHERE (alert.position, alert.alert_id) > (%(position)s, %(id)s)
    ORDER BY alert.position ASC, alert.alert_id ASC
    LIMIT %(walk)s
),

found AS (
    SELECT walked.*
    FROM walked
    WHERE
        walked.suppressed_by IS NULL
        AND (%(levels)s::text [] IS NULL OR walked.level = ANY(%(levels)s))
        AND (walked.actor IS NULL OR walked.actor <> ALL(%(hidden_actors)s::text []))
),

looked AS (
    SELECT
        count(*) AS alerts,
        max(walked.position) AS position,
        (array_agg(walked.alert_id ORDER BY walked.position DESC, walked.alert_id DESC))[1] AS alert_id
    FROM walked
)

SELECT
    looked.alerts AS looked_alerts,
    looked.position AS looked_position,
    looked.alert_id AS looked_id,
    found.alert_id,
    found.position,
    found.raised_at,
    found.rule_id,
    found.rule_digest,
    found.title,
    found.level,
    found.kind,
    found.group_key,
    found.actor,
    coalesce(extent.events, found.events) AS events,
    found.final OR extent.alert_id IS NOT NULL AS final,
    found.begins,
    coalesce(extent.ends, found.ends) AS ends,
    coalesce(extent.positions, found.positions) AS positions,
    coalesce(extent.reasons, found.reasons) AS reasons,
    joined.case_id,
    coalesce(joined.state || '_case', 'no_case') AS case_state,
    joined.verdict,
    found.suppressed_by
FROM looked
LEFT JOIN found ON TRUE
LEFT JOIN alert_extent AS extent ON found.alert_id = extent.alert_id
LEFT JOIN LATERAL (
    -- One look-up for each alert, also where a plan that reads all cases seems cheaper.
    SELECT
        case_alert.case_id,
        detection_case.state,
        detection_case.verdict
    FROM case_alert
    LEFT JOIN detection_case ON case_alert.case_id = detection_case.case_id
    WHERE case_alert.alert_id = found.alert_id
    ORDER BY case_alert.case_id ASC
    LIMIT 1
) AS joined ON TRUE
ORDER BY found.position ASC, found.alert_id ASC;
