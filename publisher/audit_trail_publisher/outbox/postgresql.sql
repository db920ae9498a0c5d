-- The outbox in a PostgreSQL database of the service: for a migration of the service. It can be run again.
--
-- The service's login needs INSERT on audit_outbox. The relay's needs SELECT and DELETE on audit_outbox, SELECT and
-- UPDATE on audit_outbox_slot, and SELECT, INSERT and DELETE on audit_outbox_rejected; to send rejected events again it
-- needs INSERT on audit_outbox.

CREATE TABLE IF NOT EXISTS audit_outbox (
    id uuid PRIMARY KEY,
    aggregatetype text NOT NULL,
    aggregateid text NOT NULL,
    type text NOT NULL,
    payload text NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 15),
    position bigint GENERATED ALWAYS AS IDENTITY,
    kept_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS audit_outbox_order ON audit_outbox (slot, position);

-- What a relay locks while it sends the events of some keys.
CREATE TABLE IF NOT EXISTS audit_outbox_slot (
    slot smallint PRIMARY KEY CHECK (slot BETWEEN 0 AND 15)
);

INSERT INTO audit_outbox_slot (slot)
SELECT number
FROM generate_series(0, 15) AS number
ON CONFLICT DO NOTHING;

-- What the trail rejected, until it is sent again or somebody deletes it.
CREATE TABLE IF NOT EXISTS audit_outbox_rejected (
    id uuid PRIMARY KEY,
    aggregatetype text NOT NULL,
    aggregateid text NOT NULL,
    type text NOT NULL,
    payload text NOT NULL,
    slot smallint NOT NULL,
    kept_at timestamptz NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL,
    field text NOT NULL,
    message text NOT NULL
);
