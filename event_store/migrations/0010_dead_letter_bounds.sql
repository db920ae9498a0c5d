-- A dead letter keeps a small message whole. Of a large one it keeps the first bytes, with the size and SHA-256 of all.
ALTER TABLE audit_trail.dead_letter
ADD COLUMN value_size bigint,
ADD COLUMN value_sha256 bytea,
ADD COLUMN key_size bigint,
ADD COLUMN key_sha256 bytea,
ADD COLUMN headers_size bigint,
ADD COLUMN headers_sha256 bytea,
ADD COLUMN last_offset bigint,
ADD COLUMN codec text,
ADD COLUMN record_count integer,
ADD CONSTRAINT value_cut CHECK (
    (value_size IS NULL AND value_sha256 IS NULL)
    OR (value_size > coalesce(octet_length(value), 0) AND octet_length(value_sha256) = 32)
),
ADD CONSTRAINT key_cut CHECK (
    (key_size IS NULL AND key_sha256 IS NULL)
    OR (key_size > coalesce(octet_length(key), 0) AND octet_length(key_sha256) = 32)
),
ADD CONSTRAINT headers_cut CHECK (
    (headers_size IS NULL AND headers_sha256 IS NULL)
    OR (headers_size > 0 AND octet_length(headers_sha256) = 32)
),
ADD CONSTRAINT sealed_batch CHECK (
    (last_offset IS NULL AND codec IS NULL AND record_count IS NULL)
    OR (last_offset >= "offset" AND codec IS NOT NULL)
);

COMMENT ON COLUMN audit_trail.dead_letter.value_size IS
'Bytes of the whole value when only its first bytes are kept; NULL when it is kept whole. The same for the key.';
COMMENT ON COLUMN audit_trail.dead_letter.headers_size IS
'Bytes of all headers, in the encoding of a Kafka record, when not all are kept; headers_sha256 is of those bytes.';
COMMENT ON COLUMN audit_trail.dead_letter.last_offset IS
'For a batch that could not be read: its last offset. The value is then the batch as Kafka has it, compressed.';
COMMENT ON COLUMN audit_trail.dead_letter.record_count IS
'How many records such a batch says it has; NULL where the format does not say it.';
