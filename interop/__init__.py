"""Foreign formats to and from `AuditEvent`. Pure: no I/O; imports `domain` alone."""
