"""The read models as one principal may use them: scope, redaction and the access record."""
