"""`python -m audit_trail` is `audit-trail`."""

from audit_trail.cli import main

main()
