"""FHIR AuditEvent (R4 and R5 JSON, and the differences of STU3) to `AuditEvent`."""
