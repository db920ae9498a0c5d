-- The tables of a spool: version 1. SQLite 3.31 or later reads them.

-- name: spool
-- One row: the spool as a whole. `events` and `bytes` are what `pending` holds; the database of a full spool need not
-- be counted to see that.
CREATE TABLE spool (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    spool_id TEXT NOT NULL,
    events INTEGER NOT NULL DEFAULT 0 CHECK (events >= 0),
    bytes INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    delivered INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    last_error_at REAL,
    last_success_at REAL
);

-- name: instance
-- The last number that was given to an event of an instance (`source.sequence`).
CREATE TABLE instance (
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    PRIMARY KEY (service, instance)
) WITHOUT ROWID;

-- name: pending
-- The events that the trail does not have yet, in the order in which they are sent.
CREATE TABLE pending (
    number INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    kept_at REAL NOT NULL
);

-- name: rejected
-- The events that the trail rejected. Nothing but a decision of an operator removes one.
CREATE TABLE rejected (
    number INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    kept_at REAL NOT NULL,
    rejected_at REAL NOT NULL,
    reason TEXT NOT NULL,
    field TEXT NOT NULL,
    message TEXT NOT NULL
);

-- name: discarded
-- The decisions of operators to give a rejected event up. The digest (SHA-256) is that of its body.
CREATE TABLE discarded (
    number INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    digest BLOB NOT NULL,
    rejection TEXT NOT NULL,
    discarded_at REAL NOT NULL,
    discarded_by TEXT NOT NULL,
    reason TEXT NOT NULL
);
