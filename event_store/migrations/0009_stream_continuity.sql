-- What proves that a Kafka stream continues where it was read: leader epoch and checksum of the batch that holds the
-- last record read. KIP-320 compares the epoch alone, which comes again when a broker is restored with its metadata.

ALTER TABLE audit_trail.kafka_stream
ADD COLUMN leader_epoch integer NOT NULL DEFAULT -1 CHECK (leader_epoch >= -1),
ADD COLUMN batch_crc bigint CHECK (batch_crc BETWEEN 0 AND 4294967295),
ADD COLUMN accepted_holes bigint [] NOT NULL DEFAULT '{}' CHECK (cardinality(accepted_holes) % 3 = 0),
ADD COLUMN replaced_by uuid;
COMMENT ON COLUMN audit_trail.kafka_stream.leader_epoch IS
    'Kafka''s leader epoch of the batch before next_offset; -1 when it is not known.';
COMMENT ON COLUMN audit_trail.kafka_stream.batch_crc IS
    'The checksum (CRC-32C) of the batch before next_offset; NULL when it is not known.';
COMMENT ON COLUMN audit_trail.kafka_stream.accepted_holes IS
    'Missing offsets that an operator accepted: first, last and number of missing records of each hole in turn.';
COMMENT ON COLUMN audit_trail.kafka_stream.replaced_by IS
    'The id of the topic that took this one''s place, once an operator accepted it.';

-- Rows from before have no event in the log.
ALTER TABLE audit_trail.stream_reset ADD COLUMN gap uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE audit_trail.stream_reset ALTER COLUMN gap DROP DEFAULT;
COMMENT ON COLUMN audit_trail.stream_reset.gap IS
    'The event id of the recording.gap that accepted the loss; all zeros in rows from before such events.';
COMMENT ON TABLE audit_trail.stream_reset IS
    'Where records are missing from a stream and an operator let ingest go on. Each row has its recording.gap event.';

GRANT UPDATE (leader_epoch, batch_crc, accepted_holes, replaced_by) ON audit_trail.kafka_stream TO audit_trail_ingest;

-- Partitions are made by add_partitions, with its owner's rights. Who may write partitioned_until may stop all appends
-- for good: it only moves forward, and no partition is made before it.
REVOKE UPDATE (partitioned_until) ON audit_trail.log_state FROM audit_trail_ingest;
-- The right to update a whole table is also the right to lock it.
REVOKE UPDATE ON audit_trail.tracking FROM audit_trail_ingest;
GRANT UPDATE (notification_id) ON audit_trail.tracking TO audit_trail_ingest;
