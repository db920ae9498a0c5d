"""The guard: publishes signed heads outside the database, and verifies the log again and again.

Failures: a destination that is away is **retry**, with a pause and its own thread. A destination that has a head which
the log contradicts gets no more heads. A finding stays open in the database until its own cause is gone or an operator
closes it. It appears in logs, metrics and the trail: a fact as `integrity_check.failed`, somebody's claim as
`integrity_check.unconfirmed`. The guard keeps running and reports it; ingest itself refuses to append.
"""

from audit_trail.guard.metrics import GuardMetrics
from audit_trail.guard.run import Guard, Intervals

__all__ = ["Guard", "GuardMetrics", "Intervals"]
