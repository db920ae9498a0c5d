"""What the watcher checks, on the page of operations."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from dashboard import links
from dashboard.texts import duration, title
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from queries.scoped.read_models import ScopedModels
from queries.watched_targets import WatchedTarget

_MOST = 500
_SILENT = timedelta(seconds=60)
"""After this time without a save, and more than twice a target's interval, the page says that nobody looks."""


class TargetRow(Struct, frozen=True, kw_only=True):
    """A target. `problem` says why it is not well, also that it was not checked for a time; empty when it is."""

    name: str
    service: str
    link: str
    owner: str
    check: str
    state: str
    since: Moment | None
    checked_at: Moment | None
    problem: str


class Watching(Struct, frozen=True):
    """The targets, those that are down first. `silent`: for how long no watcher has looked; empty while one does."""

    targets: list[TargetRow]
    silent: str


def watching(models: ScopedModels, viewer: Viewer) -> Watching:
    """The targets of the watcher; none when no watcher has ever run."""
    page = models.watched_targets(_MOST)
    rows = sorted(page.targets, key=lambda each: (each.state != "down", each.error is None, each.name))
    silence = None if page.looked_until is None else viewer.now - page.looked_until
    return Watching(
        [_row(each, viewer) for each in rows],
        "" if silence is None or silence < _SILENT else duration(silence),
    )


def _row(target: WatchedTarget, viewer: Viewer) -> TargetRow:
    may_open = viewer.may(Operation.READ_SERVICE)
    return TargetRow(
        name=target.name,
        service=target.service,
        link=links.subject("service", target.service) if may_open else "",
        owner=target.owner,
        check=target.check,
        state=title(target.state),
        since=None if target.since is None else viewer.moment(target.since),
        checked_at=None if target.checked_at is None else viewer.moment(target.checked_at),
        problem=_problem(target, viewer),
    )


def _problem(target: WatchedTarget, viewer: Viewer) -> str:
    if target.checked_at is None:
        return "not checked yet"
    unseen = viewer.now - target.checked_at
    if unseen > max(_SILENT, timedelta(seconds=2 * target.interval_seconds)):
        return f"not checked for {duration(unseen)}"
    if target.failing_since is not None:
        long = duration(viewer.now - target.failing_since)
        return f"{target.reason or 'good again, and not yet often enough'}; failing for {long}"
    return target.reason or ""
