-- name: tables
-- What events are drawn from. The numbers of `codes` are those that the projectors compute.
CREATE TEMPORARY TABLE code (text text PRIMARY KEY, code integer NOT NULL) ON COMMIT DROP;
CREATE TEMPORARY TABLE made (
    position bigint,
    occurred_at timestamptz,
    type text,
    source text,
    actor_id text,
    actor_kind smallint,
    kind text,
    patient text,
    resource_type text,
    resource_id text,
    device text,
    session text,
    correlation_id text,
    address text,
    outcome smallint,
    emergency boolean,
    event_id uuid
) ON COMMIT DROP;

-- name: make
-- Events at the positions from `first` to before `until` of `total`, drawn as `benchmarks.scale_corpus` draws them.
INSERT INTO made
WITH drawn AS MATERIALIZED (
    SELECT
        position,
        (%(types)s::text [])[1 + width_bucket(random() * 100, %(type_weights)s::double precision [])] AS type,
        (%(services)s::text [])[1 + width_bucket(random() * 100, %(service_weights)s::double precision [])] AS service,
        floor(%(users)s * random() ^ 2)::integer AS actor,
        floor(%(devices)s * random() ^ 2)::integer AS device,
        floor(%(patients)s * random() ^ 2)::integer AS patient,
        floor(%(addresses)s * random() ^ 2)::integer AS address,
        (%(resources)s::text [])[1 + floor(6 * random() ^ 2)::integer] AS resource,
        random() AS roll,
        random() AS failing,
        CASE WHEN random() < 0.01 THEN random() * 7200 ELSE random() * 2 END AS late
    FROM generate_series(%(first)s, %(until)s - 1) AS position
)

SELECT
    position,
    date_trunc(
        'milliseconds',
        %(start)s + %(year)s * (position::double precision / %(total)s) - make_interval(secs => late)
    ),
    type,
    CASE
        WHEN type LIKE 'device.%%' THEN %(gateway)s
        WHEN position < %(total)s / 10 AND roll < 0.5 THEN %(legacy)s
        ELSE service
    END,
    CASE WHEN type LIKE 'device.%%' THEN 'd' || device ELSE 'u' || actor END,
    CASE WHEN type LIKE 'device.%%' THEN 4 WHEN type ~ '^(api|service|health_)' THEN 3 ELSE 0 END,
    CASE
        WHEN type LIKE 'device.%%' THEN 'device'
        WHEN type ~ '^(api|service|health_)' THEN 'service'
        ELSE 'user'
    END,
    CASE WHEN type LIKE 'record.%%' THEN 'p' || patient END,
    CASE WHEN type LIKE 'record.%%' THEN resource END,
    CASE
        WHEN type LIKE 'record.%%'
            THEN lower(left(resource, 1)) || patient || '-' || floor(3 * random())::integer
    END,
    CASE WHEN type LIKE 'device.%%' THEN 'd' || device END,
    CASE
        WHEN type NOT LIKE 'device.%%'
            THEN 's-' || lpad(to_hex(position / 30 + floor(40 * random())::integer), 8, '0')
    END,
    'c-' || lpad(to_hex(position / 3), 12, '0'),
    CASE
        WHEN type NOT LIKE 'device.%%'
            THEN format('10.%%s.%%s.%%s', address >> 16, address >> 8 & 255, address & 255)
    END,
    CASE
        WHEN type IN ('user.login_failed', 'access.denied', 'health_check.failed')
            THEN CASE WHEN failing < 0.3 THEN 8 ELSE 4 END
        WHEN type NOT LIKE 'device.%%' AND failing BETWEEN 0.5 AND 0.5055
            THEN CASE WHEN failing < 0.50005 THEN 12 WHEN failing < 0.501 THEN 8 ELSE 4 END
        ELSE 0
    END,
    type = 'emergency_access.started' OR (type LIKE 'record.%%' AND roll < 0.0003),
    gen_random_uuid()
FROM drawn;

-- name: append
-- The bodies alone: no tree, no identities but of the newest.
INSERT INTO audit_trail.event
    (position, stream_position, recorded_at, occurred_at, stream, event_id, format, type, body)
SELECT
    position,
    position,
    occurred_at + interval '3 seconds',
    occurred_at,
    '00000000-0000-0000-0000-000000000001',
    event_id,
    1,
    type,
    convert_to(
        jsonb_strip_nulls(jsonb_build_object(
            'event_id', event_id, 'type', type, 'occurred_at', to_char(occurred_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'source', jsonb_build_object('service', source, 'site', 'north'),
            'actor', jsonb_build_object('kind', kind, 'id', actor_id, 'name', 'Name of ' || actor_id),
            'session', session, 'correlation_id', correlation_id,
            'client', CASE WHEN address IS NOT NULL THEN jsonb_build_object('address', address) END,
            'patients', CASE WHEN patient IS NOT NULL THEN jsonb_build_array(jsonb_build_object('id', patient)) END,
            'resources', CASE
                WHEN patient IS NOT NULL
                    THEN jsonb_build_array(jsonb_build_object('type', resource_type, 'id', resource_id))
            END,
            'device', CASE WHEN device IS NOT NULL THEN jsonb_build_object('id', device, 'name', 'Pump') END,
            'purpose_of_use', CASE WHEN patient IS NOT NULL THEN jsonb_build_array('TREAT') END,
            'outcome', (%(outcomes)s::jsonb ->> outcome::text),
            'emergency', CASE WHEN emergency THEN true END
        ))::text, 'UTF8'
    )
FROM made;

-- name: identify
INSERT INTO audit_trail.event_identity (event_id, position)
SELECT event_id, position
FROM made
WHERE mod(position, 100) = 0 OR position >= %(total)s - 10000;

-- name: activity
INSERT INTO activity
    (position, occurred_at, span, hour, outcome, actor_kind, emergency, type_mark, source_mark, resource_mark, action,
    type, source, actor_id, session, correlation_id, address, purposes, patients)
SELECT
    made.position,
    made.occurred_at,
    made.position >> 12,
    floor(extract(EPOCH FROM made.occurred_at) / 3600)::integer,
    made.outcome,
    made.actor_kind,
    made.emergency,
    of_type.code >> 16,
    of_source.code >> 16,
    coalesce(of_resource.code >> 16, 0),
    %(actions)s::jsonb ->> made.type,
    made.type,
    made.source,
    made.actor_id,
    made.session,
    made.correlation_id,
    made.address,
    CASE WHEN made.patient IS NOT NULL THEN ARRAY['TREAT'] END,
    CASE WHEN made.patient IS NOT NULL THEN ARRAY[made.patient] END
FROM made
INNER JOIN code AS of_type ON made.type = of_type.text
INNER JOIN code AS of_source ON made.source = of_source.text
LEFT JOIN code AS of_resource ON made.resource_type = of_resource.text
ORDER BY made.position;

-- name: resources
INSERT INTO activity_resource (position, span, type_mark, source_mark, named, type, id)
SELECT
    made.position,
    made.position >> 12,
    of_type.code >> 16,
    of_source.code >> 16,
    false,
    made.resource_type,
    made.resource_id
FROM made
INNER JOIN code AS of_type ON made.type = of_type.text
INNER JOIN code AS of_source ON made.source = of_source.text
WHERE made.resource_type IS NOT NULL;

-- name: timelines
WITH coded AS MATERIALIZED (
    SELECT
        made.position,
        of_actor.code AS actor_mark,
        of_type.code >> 16 AS type_mark,
        of_source.code >> 16 AS source_mark,
        made.outcome,
        coalesce(of_resource.code >> 16, 0) AS resource_mark,
        floor(extract(EPOCH FROM made.occurred_at) / 3600)::integer AS hour,
        made.patient,
        made.device
    FROM made
    INNER JOIN code AS of_actor ON made.actor_id = of_actor.text
    INNER JOIN code AS of_type ON made.type = of_type.text
    INNER JOIN code AS of_source ON made.source = of_source.text
    LEFT JOIN code AS of_resource ON made.resource_type = of_resource.text
),

devices AS (
    INSERT INTO device_timeline
        (position, actor_mark, type_mark, source_mark, outcome, resource_mark, hour, device_id)
    SELECT position, actor_mark, type_mark, source_mark, outcome, resource_mark, hour, device
    FROM coded
    WHERE device IS NOT NULL
)

INSERT INTO patient_timeline (position, actor_mark, type_mark, source_mark, outcome, resource_mark, hour, patient_id)
SELECT position, actor_mark, type_mark, source_mark, outcome, resource_mark, hour, patient
FROM coded
WHERE patient IS NOT NULL;

-- name: activity_hour
INSERT INTO activity_hour (hour, first_position, last_position, events)
SELECT
    date_trunc('hour', occurred_at) AS hour,
    min(position),
    max(position),
    count(*)
FROM activity
GROUP BY date_trunc('hour', occurred_at);

-- name: activity_count_hour
INSERT INTO activity_count_hour (hour, outcome, actor_kind, events, action, type, source)
SELECT
    date_trunc('hour', occurred_at) AS hour,
    outcome,
    actor_kind,
    count(*),
    action,
    type,
    source
FROM activity
GROUP BY date_trunc('hour', occurred_at), outcome, actor_kind, action, type, source;

-- name: activity_count_day
INSERT INTO activity_count_day (day, outcome, actor_kind, events, action, type, source)
SELECT
    date_trunc('day', hour) AS day,
    outcome,
    actor_kind,
    sum(events),
    action,
    type,
    source
FROM activity_count_hour
GROUP BY day, outcome, actor_kind, action, type, source;

-- name: go_live
UPDATE audit_trail.projection
SET
    live = true,
    state = 'ready',
    position = %(total)s - 1
WHERE name = %(name)s AND build = %(build)s;
