"""The audit event: its types, validation, access rules and access records. Pure: no I/O."""
