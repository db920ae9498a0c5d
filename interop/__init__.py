"""Converts foreign formats to `AuditEvent`. Pure: no I/O; imports `domain` alone."""
