"""Other people's formats to and from `AuditEvent`. Pure: no I/O, and nothing of the house but `domain`."""
