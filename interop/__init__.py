"""Other people's formats, read as an `AuditEvent` or written from one. Pure: no I/O; imports `domain` alone."""
