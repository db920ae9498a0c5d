-- name: page
-- Reviews, the newest first; at most `walk` are looked at. `own` are the ids of the reader: items about them count for
-- nobody.
WITH walked AS (
    SELECT
        review.review_id,
        review.name,
        review.purpose,
        review.kind,
        review.state,
        review.begun_position,
        review.begun_at,
        review.begun_by,
        review.due_at,
        review.overdue_at,
        review.items,
        review.decided,
        review.without_reviewer,
        review.tree_size,
        review.root_hash,
        review.closed_at,
        review.closed_by,
        review.close_reason,
        review.position,
        review.changed_at
    FROM review
    WHERE review.begun_position < %(position)s
    ORDER BY review.begun_position DESC
    LIMIT %(walk)s
),

found AS (
    SELECT
        walked.*,
        own.items AS own_items,
        own.decided AS own_decided
    FROM walked
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS items,
            count(item.verdict) AS decided
        FROM review_item AS item
        WHERE
            item.review_id = walked.review_id
            AND item.reviewer = ANY(%(own)s::text [])
            AND (item.subject IS NULL OR item.subject <> ALL(%(own)s::text []))
    ) AS own
    WHERE
        (%(state)s::text IS NULL OR walked.state = %(state)s)
        AND (%(kind)s::text IS NULL OR walked.kind = %(kind)s)
        AND (
            %(overdue)s::boolean IS NULL
            OR (walked.state = 'open' AND walked.overdue_at IS NOT NULL) = %(overdue)s
        )
        AND (%(mine)s::boolean IS NULL OR (own.items > 0) = %(mine)s)
        AND (NOT %(only_own)s OR own.items > 0)
    ORDER BY walked.begun_position DESC
    LIMIT %(limit)s
),

looked AS (
    SELECT
        count(*) AS reviews,
        min(walked.begun_position) AS position,
        (array_agg(walked.review_id ORDER BY walked.begun_position ASC))[1] AS review_id
    FROM walked
)

SELECT
    looked.reviews AS looked_reviews,
    looked.position AS looked_position,
    looked.review_id AS looked_id,
    found.*
FROM looked
LEFT JOIN found ON TRUE
ORDER BY found.begun_position DESC;

-- name: one
-- One review, with the event of its beginning as `plan`.
SELECT
    review.*,
    own.items AS own_items,
    own.decided AS own_decided,
    about.items AS items_about_you
FROM review
CROSS JOIN LATERAL (
    SELECT
        count(*) AS items,
        count(item.verdict) AS decided
    FROM review_item AS item
    WHERE
        item.review_id = review.review_id
        AND item.reviewer = ANY(%(own)s::text [])
        AND (item.subject IS NULL OR item.subject <> ALL(%(own)s::text []))
) AS own
CROSS JOIN LATERAL (
    SELECT count(*) AS items
    FROM review_item AS item
    WHERE
        item.review_id = review.review_id
        AND NOT %(only_own)s
        AND item.subject = ANY(%(own)s::text [])
) AS about
WHERE
    review.review_id = %(id)s
    AND review.begun_position IS NOT NULL
    AND (NOT %(only_own)s OR own.items > 0);

-- name: by_reviewer
-- The items that the reader may see, by reviewer.
SELECT
    item.reviewer,
    max(item.reviewer_name) AS reviewer_name,
    count(*) AS items,
    count(item.verdict) AS decided
FROM review_item AS item
WHERE
    item.review_id = %(id)s
    AND (item.subject IS NULL OR item.subject <> ALL(%(own)s::text []))
    AND (NOT %(only_own)s OR item.reviewer = ANY(%(own)s::text []))
GROUP BY item.reviewer
ORDER BY item.reviewer ASC NULLS LAST;

-- name: by_stratum
-- The strata with the most of these items, and the number of all strata.
SELECT
    item.stratum,
    count(*) AS items,
    count(item.verdict) AS decided,
    count(*) OVER () AS strata
FROM review_item AS item
WHERE
    item.review_id = %(id)s
    AND (item.subject IS NULL OR item.subject <> ALL(%(own)s::text []))
    AND (NOT %(only_own)s OR item.reviewer = ANY(%(own)s::text []))
GROUP BY item.stratum
ORDER BY count(*) DESC, item.stratum ASC
LIMIT %(limit)s;

-- name: by_verdict
-- These items, by verdict.
SELECT
    item.verdict,
    count(*) AS items,
    coalesce(sum(item.seconds), 0)::bigint AS seconds
FROM review_item AS item
WHERE
    item.review_id = %(id)s
    AND item.verdict IS NOT NULL
    AND (item.subject IS NULL OR item.subject <> ALL(%(own)s::text []))
    AND (NOT %(only_own)s OR item.reviewer = ANY(%(own)s::text []))
GROUP BY item.verdict
ORDER BY item.verdict ASC;

-- name: items
-- Items of a review after a number, or the one with a number. A review has at most 10,000 items.
SELECT
    item.item,
    item.stratum,
    item.subject,
    item.what,
    item.positions,
    item.reviewer,
    item.reviewer_name,
    coalesce(item.reviewer = ANY(%(own)s::text []), FALSE) AS mine,
    item.verdict,
    item.reason,
    item.seconds,
    item.decided_by,
    item.decided_at,
    item.decisions
FROM review_item AS item
WHERE
    item.review_id = %(id)s
    AND item.item > %(after)s
    AND (%(item)s::integer IS NULL OR item.item = %(item)s)
    AND (item.subject IS NULL OR item.subject <> ALL(%(own)s::text []))
    AND (NOT %(only_own)s OR item.reviewer = ANY(%(own)s::text []))
    AND (%(reviewer)s::text IS NULL OR item.reviewer = %(reviewer)s)
    AND (%(assigned)s::boolean IS NULL OR (item.reviewer IS NOT NULL) = %(assigned)s)
    AND (%(decided)s::boolean IS NULL OR (item.verdict IS NOT NULL) = %(decided)s)
    AND (%(verdict)s::text IS NULL OR item.verdict = %(verdict)s)
    AND (%(mine)s::boolean IS NULL OR coalesce(item.reviewer = ANY(%(own)s::text []), FALSE) = %(mine)s)
ORDER BY item.item ASC
LIMIT %(limit)s;

-- name: exists
-- Whether there is a review for the reader.
SELECT EXISTS (
    SELECT FROM review
    WHERE
        review.review_id = %(id)s
        AND review.begun_position IS NOT NULL
        AND (
            NOT %(only_own)s
            OR EXISTS (
                SELECT FROM review_item AS item
                WHERE
                    item.review_id = review.review_id
                    AND item.reviewer = ANY(%(own)s::text [])
                    AND (item.subject IS NULL OR item.subject <> ALL(%(own)s::text []))
            )
        )
);
