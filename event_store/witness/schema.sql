-- sqlfluff:dialect:sqlite
-- For each log, the largest tree that the witness has cosigned. The triggers keep it from shrinking.
CREATE TABLE IF NOT EXISTS latest (
    origin text PRIMARY KEY,
    -- SHA-256 of the origin in hex: the name under which monitors ask.
    origin_hash text NOT NULL UNIQUE,
    size integer NOT NULL CHECK (size >= 0),
    root blob NOT NULL CHECK (length(root) = 32),
    -- The signed tree head with the log's signatures and this witness's cosignatures.
    note blob NOT NULL,
    cosigned_at integer NOT NULL
) STRICT, WITHOUT ROWID;

-- Heads that a log has signed and that were not shown to extend the largest cosigned one. With equal sizes and
-- different root hashes, the two notes prove that the log has two histories. Otherwise the proof or the log was wrong.
CREATE TABLE IF NOT EXISTS contradictions (
    origin text NOT NULL,
    size integer NOT NULL,
    root blob NOT NULL CHECK (length(root) = 32),
    note blob NOT NULL,
    known_size integer NOT NULL,
    known_note blob NOT NULL,
    reason text NOT NULL,
    refused_at integer NOT NULL,
    PRIMARY KEY (origin, size, root)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS latest_never_goes_back BEFORE UPDATE ON latest
WHEN
    new.origin <> old.origin
    OR new.origin_hash <> old.origin_hash
    OR new.size < old.size
    OR (new.size = old.size AND new.root <> old.root)
BEGIN
    SELECT raise(ABORT, 'a cosigned tree never goes back');
END;

CREATE TRIGGER IF NOT EXISTS latest_is_never_forgotten BEFORE DELETE ON latest
BEGIN
    SELECT raise(ABORT, 'a cosigned tree is never forgotten');
END;
