"""FHIR AuditEvent (R4 and R5 JSON, and what STU3 spells differently) to `AuditEvent`."""
