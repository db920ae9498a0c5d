"""Judges what the checks find, and saves it: states, and the events of transitions and gaps.

While the database is away, decisions are kept in memory, in their order. Beyond `MAX_PENDING` events the checks count
no more, which is a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import uuid5

import structlog

from domain.event import AuditEvent
from watcher.blindness import Gap
from watcher.events import Blindness, gap_event
from watcher.judgement import judge
from watcher.metrics import WatchMetrics
from watcher.observations import Observation
from watcher.schedule import Late
from watcher.store import Opened, WatchStore
from watcher.target_state import TargetState
from watcher.targets import TargetFile

log = structlog.get_logger(__name__)

MAX_PENDING = 5000
_LATE_SECONDS = 60.0
"""Late checks of this time are one event."""


class Book:
    """What one watcher knows, from `open` on. For one thread."""

    def __init__(self, store: WatchStore, file: TargetFile, metrics: WatchMetrics) -> None:
        self._store = store
        self._targets = {each.name: each for each in file.targets}
        self._gap_after = timedelta(seconds=file.gap_after)
        self._metrics = metrics
        self._opened: Opened | None = None
        self._states: dict[str, TargetState] = {}
        self._changed: set[str] = set()
        self._events: list[AuditEvent] = []
        self._late: dict[str, Late] = {}
        self._blind_until = -math.inf
        self._full_since: datetime | None = None

    def open(self, now: datetime) -> None:
        """Load the stored state, and save that the watcher looks again: what it missed until `now` is a gap.

        Raises `UnavailableError`.
        """
        opened = self._store.open(list(self._targets.values()))
        self._opened, self._states = opened, dict(opened.targets)
        self._changed, self._events, self._late, self._full_since = set(), [], {}, None
        for name, state in self._states.items():
            self._metrics.show_state(name, state)
        whole = opened.whole
        if whole.looked_until is not None and now - whole.looked_until > self._gap_after:
            why = Blindness.STOPPED if whole.stopped else Blindness.KILLED
            self._note_gap(why, whole.looked_until, now)
        for name, last in opened.returned.items():
            if now - last > self._gap_after:
                self._note_gap(Blindness.UNWATCHED, last, now, [name])
        self._save(now, stopped=False, first=True)

    @property
    def is_due(self) -> bool:
        """Whether something is to be saved at once: a decision, which nobody knows of yet."""
        return bool(self._events)

    def note(self, results: Iterable[Observation | Late], gaps: Iterable[Gap]) -> None:
        """Judge results. Those of checks from before the end of a gap count no more: they waited through it."""
        for gap in gaps:
            log.warning(
                "did_not_look", cause=gap.why.value, begin=gap.begin.isoformat(), end=gap.end.isoformat()
            )
            self._note_gap(gap.why, gap.begin, gap.end)
            self._blind_until = max(self._blind_until, gap.ended)
        for each in results:
            if isinstance(each, Late):
                if each.waited_from < self._blind_until:
                    continue
                first = self._late.get(each.name, each)
                self._late[each.name] = each._replace(due=min(first.due, each.due))
            elif each.began >= self._blind_until:
                self._judge(each)

    def save(self, now: datetime, *, stopped: bool = False) -> bool:
        """Save what has changed. Returns whether events were decided.

        Raises `UnavailableError`, with everything kept for the next try, and `FencedError` when another watcher has
        saved meanwhile.
        """
        self._note_lateness(now, always=stopped)
        self._note_fullness(now)
        return self._save(now, stopped=stopped)

    def _save(self, now: datetime, *, stopped: bool, first: bool = False) -> bool:
        assert self._opened is not None
        events = list(self._events)
        whole = self._opened.whole._replace(looked_until=now, stopped=stopped)
        whole = self._store.save(
            whole,
            {name: self._states[name] for name in self._changed},
            events,
            watched=list(self._targets.values()) if first else None,
        )
        self._opened = self._opened._replace(whole=whole)
        self._changed.clear()
        self._events.clear()
        self._metrics.count_events(events)
        for each in events:
            log.info("event_decided", type=each.type, event_id=str(each.event_id), **_about(each.attributes))
        return bool(events)

    def _judge(self, seen: Observation) -> None:
        if len(self._events) >= MAX_PENDING:
            self._full_since = self._full_since or seen.at
            return
        target = self._targets[seen.name]
        state, events = judge(target, self._states[seen.name], seen)
        self._states[seen.name] = state
        self._changed.add(seen.name)
        self._events += events
        self._metrics.show_check(seen, state)

    def _note_gap(self, why: Blindness, begin: datetime, end: datetime, targets: Iterable[str] = ()) -> None:
        assert self._opened is not None
        whole = self._opened.whole
        whole = whole._replace(gaps=whole.gaps + 1)
        self._opened = self._opened._replace(whole=whole)
        id = uuid5(whole.id, str(whole.gaps))
        self._events.append(gap_event(id, why, begin, end, sorted(targets)))

    def _note_lateness(self, now: datetime, *, always: bool) -> None:
        """One event about all checks that began too late, at most once in `_LATE_SECONDS`."""
        if not self._late:
            return
        begin = min(each.due for each in self._late.values())
        if always or now - begin > timedelta(seconds=_LATE_SECONDS):
            end = max(each.began for each in self._late.values())
            self._note_gap(Blindness.OVERLOADED, begin, end, self._late)
            self._late = {}

    def _note_fullness(self, now: datetime) -> None:
        if self._full_since is not None and len(self._events) < MAX_PENDING:
            self._note_gap(Blindness.DATABASE, self._full_since, now)
            self._full_since = None


def _about(attributes: Mapping[str, object]) -> dict[str, object]:
    return {name: attributes[name] for name in ("target", "cause") if name in attributes}
