"""The guard: publishes signed heads outside the database, and verifies the log again and again.

Failures: a place that is away is **retry**, with a pause and a thread of its own. A place that has a head which the log
contradicts gets no more heads. What is found stays open in the database until its own cause is gone or an operator
closes it. It is said in the log lines, in the metrics, and in the trail itself: a fact as `integrity_check.failed`,
somebody's claim as `integrity_check.unconfirmed`. The guard stays up to say so; ingest refuses to append by itself.
"""

from audit_trail.guard.metrics import GuardMetrics
from audit_trail.guard.run import Guard, Intervals

__all__ = ["Guard", "GuardMetrics", "Intervals"]
