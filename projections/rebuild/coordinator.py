"""Rebuild, blue/green: makes a new build beside the live one: load in parallel, merge and index, catch up, switch.

Every step is a transaction that is not repeated once it is done: a rebuild that was killed and is started again goes on
where it was. Failures: the database away is **retry**, in this process; an event that breaks a projector **stops** that
projector's rebuild, visibly, and the others go on. Queries read the live build all the while.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from domain.errors import ConfigurationError, UnavailableError
from event_store.backoff import Backoff
from projections.builds.advisory_lock import advisory_lock
from projections.projector import Projector
from projections.rebuild.plan import Parts, RebuildResult
from projections.rebuild.steps import Attempt, Unpublished

PATIENCE_SECONDS = 300.0
"""How long the database may be away before the rebuild gives up; started again, it goes on."""
_PAUSES = (0.5, 10.0)
"""The first and the longest delay, in seconds."""


def rebuild(parts: Parts, names: Sequence[str]) -> list[RebuildResult]:
    """Rebuild these projections in one pass over the log, and switch to the new builds.

    Raises `FencedError`, which names the holder, when another process has locked one of them, `ConfigurationError` when
    this program has no such projection or is older than its tables, `UnavailableError` when an event can't be published
    (the builds are kept, and the next rebuild switches to them) or the database stays away.
    """
    projectors = chosen(parts, names)
    held, away_since, backoff = False, 0.0, Backoff(*_PAUSES)
    while True:
        try:
            with advisory_lock(parts.database, [each.name for each in projectors], "rebuild") as lock:
                held, away_since = True, 0.0
                backoff.reset()
                return Attempt(parts, projectors, lock).run()
        except Unpublished as exc:
            raise exc.error from exc
        except UnavailableError as exc:
            # An outage at the start is raised. One in the middle is waited for.
            away_since = away_since or time.monotonic()
            if not held or time.monotonic() - away_since > PATIENCE_SECONDS:
                raise
            seconds = backoff.next()
            parts.progress.say(f"{exc}; next try in {seconds:.1f} s")
            time.sleep(seconds)


def chosen(parts: Parts, names: Sequence[str]) -> list[Projector]:
    """The projectors with these names, each once. Raises `ConfigurationError` for an unknown name."""
    known = {each.name: each for each in parts.source()}
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigurationError(
            f"there is no projection {missing[0]!r}; this program has {', '.join(sorted(known))}"
        )
    return [known[name] for name in dict.fromkeys(names)]
