-- Why the files of rules do not count, for those who read: `project` finds the fault, and the last set goes on.

CREATE TABLE audit_trail.rule_folder_fault (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fault text NOT NULL CHECK (length(fault) BETWEEN 1 AND 4000),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE audit_trail.rule_folder_fault IS
    'The fault in the files of rules, with file, line and field; no row when there is none.';
GRANT SELECT, INSERT, UPDATE, DELETE ON audit_trail.rule_folder_fault TO audit_trail_projector;
GRANT SELECT ON audit_trail.rule_folder_fault TO audit_trail_reader;
