-- name: page
-- Suppressions, the newest first; at most `walk` are looked at. `held_back`: how many alerts one has held back, counted
-- up to `most`.
WITH walked AS (
    SELECT suppression.*
    FROM suppression
    WHERE (suppression.position, suppression.suppression_id) < (%(position)s, %(id)s)
    ORDER BY suppression.position DESC, suppression.suppression_id DESC
    LIMIT %(walk)s
),

found AS (
    SELECT
        walked.*,
        walked.ended_at IS NULL AND walked.expires_at > clock_timestamp() AS active
    FROM walked
    WHERE
        walked.started_at IS NOT NULL
        AND (
            NOT %(active)s OR (walked.ended_at IS NULL AND walked.expires_at > clock_timestamp())
        )
        -- A rule may give the actor of its groups another name.
        AND NOT EXISTS (
            SELECT FROM jsonb_each_text(walked.match) AS named
            WHERE named.value = ANY(%(hidden_actors)s::text [])
        )
    ORDER BY walked.position DESC, walked.suppression_id DESC
    LIMIT %(limit)s
),

looked AS (
    SELECT
        count(*) AS suppressions,
        min(walked.position) AS position,
        (array_agg(walked.suppression_id ORDER BY walked.position ASC, walked.suppression_id ASC))[1] AS suppression_id
    FROM walked
)

SELECT
    looked.suppressions AS looked_suppressions,
    looked.position AS looked_position,
    looked.suppression_id AS looked_id,
    found.*,
    (
        SELECT count(*)
        FROM (
            SELECT FROM alert
            WHERE
                alert.suppressed_by = found.suppression_id
                AND (alert.actor IS NULL OR alert.actor <> ALL(%(hidden_actors)s::text []))
            ORDER BY alert.position ASC
            LIMIT %(most)s
        ) AS counted
    ) AS held_back
FROM looked
LEFT JOIN found ON TRUE
ORDER BY found.position DESC, found.suppression_id DESC;
