-- Reviews: their commands wait in audit_trail.case_command. Drawing the work list of a review can take minutes, so a
-- worker of its own carries them out, in `ingest`.

ALTER TABLE audit_trail.operation_worker DROP CONSTRAINT operation_worker_part_check;
ALTER TABLE audit_trail.operation_worker ADD CONSTRAINT operation_worker_part_check
CHECK (part IN ('project', 'ingest', 'watch', 'forward', 'detect', 'cases', 'reviews'));
CREATE POLICY ingest_works_on_reviews ON audit_trail.operation_worker FOR ALL TO audit_trail_ingest
USING (part = 'reviews');

-- The departments and ids of staff, by which a sample is divided and a reviewer is known to be the subject.
GRANT SELECT ON audit_trail.context_version, audit_trail.context_chunk, audit_trail.context_version_chunk
TO audit_trail_ingest;
