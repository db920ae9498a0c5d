"""The targets of the watcher in the schema."""

from __future__ import annotations

from datetime import datetime

from graphql_api.types.descriptions import described, documented
from graphql_api.types.scalars import Long


@documented
class WatchedTarget:
    """What the watcher checks, and what it found last."""

    name: str = described("Its name.")
    service: str = described("The service whose state its events tell.")
    owner: str = described("Who answers for it; empty if the file does not say.")
    check: str = described("The kind of check: http, tcp, tls, kafka or postgresql.")
    interval_seconds: float = described("Seconds between two checks.")
    state: str = described("up, down or unknown, by the target's rule.")
    since: datetime | None = described("Since when it is in this state.")
    checked_at: datetime | None = described("When it was last checked.")
    error: str | None = described("The class of the last check's error; null if it was good.")
    reason: str | None = described("The reason of that error.")
    failing_since: datetime | None = described("The first failure of an outage that lasts.")
    failures: Long = described("The failed checks of that outage.")
