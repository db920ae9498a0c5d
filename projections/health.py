"""The health of a runner: its problems in words for an operator, and its log lines."""

from __future__ import annotations

import time
from typing import NamedTuple

import structlog

from projections.build_state import STALLED_SECONDS
from projections.projector_state import Track
from projections.registry import Build

log = structlog.get_logger(__name__)

SILENT_SECONDS = 30.0
"""A runner reads the registry each second. One without a sign for this long is waiting for the database."""
STANDBY_SECONDS = 10.0
"""A process is a standby when for this long all its batches were fenced and those of another process were not."""
BEHIND_AGAIN = 10_000
"""A runner that was this many events behind logs that it has caught up."""


class _Seen(NamedTuple):
    """A projection at the last reading of the registry. `problem` is empty when there is none."""

    position: int
    lag: int
    moved_at: float
    feeding: bool
    problem: str


class RunnerHealth:
    """The health of a runner. The runner's thread writes it, any thread may read it."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._beat: float | None = None
        self._away = ""
        self._applied_at: float | None = None
        self._others_at: float | None = None
        self._standby = False
        self._caught_up = False
        self._applied = 0

    def problems(self) -> list[str]:
        """The problems that keep the runner from working; none when it is ready."""
        now, beat = time.monotonic(), self._beat
        if beat is None:
            return ["it is starting"]
        found = [self._away] if self._away else []
        if not found and now - beat > SILENT_SECONDS:
            found.append(
                f"no batch was finished for {now - beat:.0f} s: the database does not answer, or a batch takes long"
            )
        for name, seen in list(self._seen.items()):
            if seen.problem:
                found.append(seen.problem)
            elif seen.lag and now - seen.moved_at > STALLED_SECONDS:
                found.append(
                    f"projection {name} is {seen.lag} events behind, and has not moved for {now - seen.moved_at:.0f} s"
                )
        return found

    def state(self) -> str:
        """`ready`, or `standby` while another process applies the batches."""
        return "standby" if self._standby else "ready"

    def started(self, names: list[str], batch: int) -> None:
        """The runner begins."""
        log.info("runner_started", projections=names, batch=batch)

    def stopped(self) -> None:
        """The runner has ended."""
        self._beat = None
        log.info("runner_stopped", applied=self._applied)

    def step_completed(self) -> None:
        """The runner has completed a step: the database answers."""
        self._beat, self._away = time.monotonic(), ""

    def waits(self, reason: str) -> None:
        """The database is away."""
        self._beat, self._away = time.monotonic(), reason
        self._caught_up = False

    def applied(self, events: int) -> None:
        """Store that this process has committed a batch of `events` events."""
        self._applied_at = time.monotonic()
        self._applied += events

    def registry_read(self, track: Track, build: Build | None, before: tuple[int, int]) -> None:
        """Store the registry's state; `before` is the previous build and position."""
        now = time.monotonic()
        name = track.projector.name
        old = self._seen.get(name)
        position, lag = (-1, 0) if build is None else (build.position, build.lag)
        still = old is not None and old.position == position and lag
        moved_at = old.moved_at if old is not None and still else now
        self._seen[name] = _Seen(position, lag, moved_at, track.feeding, _problem(track, build))
        if build is not None and build.build == before[0] and build.position > before[1]:
            self._others_at = now

    def log_changes(self) -> None:
        """Log each change once."""
        standby = self._others_at is not None and (
            self._applied_at is None or self._others_at - self._applied_at > STANDBY_SECONDS
        )
        if standby != self._standby:
            self._standby = standby
            if standby:
                log.info("standby", why="another process applies the batches; this one goes on when it ends")
            else:
                log.info("standby_ended")
        fed = [seen for seen in self._seen.values() if seen.feeding]
        if fed and not self._caught_up and all(seen.lag == 0 for seen in fed):
            self._caught_up = True
            log.info("caught_up", position=max(seen.position for seen in fed))
        elif any(seen.lag > BEHIND_AGAIN for seen in fed):
            self._caught_up = False


def _problem(track: Track, build: Build | None) -> str:
    name = track.projector.name
    if track.parked == "is paused":
        return f"projection {name} is paused by an operator; `audit-trail projections resume {name}` goes on"
    if track.parked:
        return f"projection {name} {track.parked}"
    if build is not None and build.failed_position is not None:
        return (
            f"projection {name} is stopped by the event at position {build.failed_position}: {build.failure}"
        )
    return ""
