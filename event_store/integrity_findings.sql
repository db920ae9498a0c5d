-- name: see
-- Count a finding again if it is open, else open it. TRUE when it is new.
WITH known AS (
    UPDATE audit_trail.integrity_finding SET last_seen = clock_timestamp(), seen = seen + 1
    WHERE "check" = %(found_by)s AND place = %(place)s AND cause = %(cause)s AND closed_at IS NULL
    RETURNING id
), opened AS (
    INSERT INTO audit_trail.integrity_finding (
        "check", place, cause, certainty, what, position, log_size, head_size, head_root, kind
    )
    SELECT
        %(found_by)s, %(place)s, %(cause)s, %(certainty)s, %(what)s, %(position)s::bigint, %(log_size)s,
        %(head_size)s::bigint, %(head_root)s::bytea, %(kind)s
    WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT DO NOTHING
    RETURNING id
)

SELECT EXISTS (SELECT FROM opened);

-- name: open
SELECT * FROM audit_trail.integrity_finding WHERE closed_at IS NULL ORDER BY id;

-- name: page
SELECT * FROM audit_trail.integrity_finding
WHERE id > %(after)s AND (closed_at IS NULL OR %(closed)s) ORDER BY id LIMIT %(limit)s;

-- name: one
SELECT * FROM audit_trail.integrity_finding WHERE id = %(id)s;

-- name: one_locked
SELECT * FROM audit_trail.integrity_finding WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: unreported
-- The oldest unreported finding of each kind, unless one of that kind was reported a short time ago. A claim that ended
-- by itself needs no report. A finding that an operator closed does not suppress later findings: otherwise the trail
-- would record the operator's answer and nothing more while the contradiction persists.
SELECT DISTINCT ON (kind) * FROM audit_trail.integrity_finding AS waiting
WHERE
    reported_at IS NULL
    AND (certainty = 'fact' OR closed_at IS NULL OR closed_by IS NOT NULL)
    AND NOT EXISTS (
        SELECT FROM audit_trail.integrity_finding AS other
        WHERE
            other.kind = waiting.kind AND other.reported_at > clock_timestamp() - make_interval(secs => %(quiet)s)
            AND (other.closed_by IS NULL OR other.closed_at > waiting.first_seen)
    )
ORDER BY kind, id;

-- name: unanswered
SELECT * FROM audit_trail.integrity_finding
WHERE closed_at IS NOT NULL AND answered_at IS NULL AND reported_at IS NOT NULL ORDER BY id LIMIT 100;

-- name: steady
-- The open findings that may end without an operator. A finding whose kind ended often within the interval stays open
-- until it was not seen for the whole interval.
SELECT * FROM audit_trail.integrity_finding AS finding
WHERE
    id = ANY(%(ids)s)
    AND (
        last_seen < clock_timestamp() - make_interval(secs => %(within)s)
        OR (
            SELECT count(*) FROM audit_trail.integrity_finding AS other
            WHERE
                other.kind = finding.kind AND other.closed_by IS NULL
                AND other.closed_at > clock_timestamp() - make_interval(secs => %(within)s)
        ) < %(most)s
    )
ORDER BY id;

-- name: reported
UPDATE audit_trail.integrity_finding SET reported_at = clock_timestamp() WHERE id = %(id)s AND reported_at IS NULL;

-- name: answered
UPDATE audit_trail.integrity_finding SET answered_at = clock_timestamp() WHERE id = %(id)s AND answered_at IS NULL;

-- name: close
UPDATE audit_trail.integrity_finding SET closed_at = clock_timestamp(), closed_by = %(by)s, close_reason = %(reason)s
WHERE id = ANY(%(ids)s) AND closed_at IS NULL;
