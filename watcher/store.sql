-- name: state
SELECT
    id,
    revision,
    writer,
    looked_until,
    stopped,
    gaps
FROM audit_trail.watch_state;

-- name: add
-- Targets that the file names for the first time. They count as watched from the first save on.
INSERT INTO audit_trail.watch_target (name, watched, service, owner, kind, interval_seconds)
SELECT
    given.name,
    false,
    given.service,
    given.owner,
    given.kind,
    given.interval_seconds
FROM
    jsonb_to_recordset(%(targets)s::jsonb)
    AS given (name text, service text, owner text, kind text, interval_seconds double precision)
ON CONFLICT (name) DO NOTHING;

-- name: describe
-- What the file says of each target now.
UPDATE audit_trail.watch_target AS target
SET
    watched = true,
    service = given.service,
    owner = given.owner,
    kind = given.kind,
    interval_seconds = given.interval_seconds
FROM
    jsonb_to_recordset(%(targets)s::jsonb)
    AS given (name text, service text, owner text, kind text, interval_seconds double precision)
WHERE target.name = given.name;

-- name: leave
UPDATE audit_trail.watch_target SET watched = false WHERE watched AND name <> ALL(%(names)s);

-- name: targets
SELECT
    name,
    id,
    state,
    since,
    checked_at,
    error,
    reason,
    recent,
    failed_at,
    failing_since,
    failures,
    outage,
    incarnation,
    transitions,
    watched
FROM audit_trail.watch_target
WHERE name = ANY(%(names)s);

-- name: advance
-- One watcher at a time: a revision that another one has written is not overwritten.
UPDATE audit_trail.watch_state
SET
    revision = revision + 1,
    writer = %(writer)s,
    looked_until = %(looked_until)s,
    stopped = %(stopped)s,
    gaps = %(gaps)s
WHERE revision = %(revision)s;

-- name: save
UPDATE audit_trail.watch_target AS target
SET
    state = given.state,
    since = given.since,
    checked_at = given.checked_at,
    error = given.error,
    reason = given.reason,
    recent = given.recent,
    failed_at = given.failed_at,
    failing_since = given.failing_since,
    failures = given.failures,
    outage = given.outage,
    incarnation = given.incarnation,
    transitions = given.transitions
FROM
    jsonb_to_recordset(%(states)s::jsonb)
    AS given (
        id uuid,
        state text,
        since timestamptz,
        checked_at timestamptz,
        error text,
        reason text,
        recent text,
        failed_at timestamptz [],
        failing_since timestamptz,
        failures bigint,
        outage uuid,
        incarnation text,
        transitions bigint
    )
WHERE target.id = given.id;

-- name: decide
INSERT INTO audit_trail.watch_event (event_id, service, body) VALUES (%(event_id)s, %(service)s, %(body)s)
ON CONFLICT (event_id) DO NOTHING;

-- name: undelivered
SELECT
    number,
    service,
    body
FROM audit_trail.watch_event
ORDER BY number ASC
LIMIT %(limit)s;

-- name: waiting
SELECT count(*) FROM audit_trail.watch_event;

-- name: delivered
DELETE FROM audit_trail.watch_event WHERE number = ANY(%(numbers)s);
