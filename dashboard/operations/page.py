"""Operations: projections, requests, dead letters, published heads, watched targets, sources, recording of reads."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from msgspec import Struct

from dashboard.operations.integrity import PlaceRow, Verification, place_row, verification
from dashboard.operations.requests import RequestRow, request_row
from dashboard.operations.targets import Watching, watching
from dashboard.render import View
from dashboard.subjects.numbers import missing, span
from dashboard.subjects.page import link_to
from dashboard.texts import duration, many
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.tree_head import SignedTreeHead
from queries.operations import BuildInfo
from queries.scoped.log import ScopedLog
from queries.scoped.operations import ScopedOperations
from queries.scoped.read_models import ScopedModels
from queries.summaries.results import FollowerState, FollowerStatus, ProjectionStatus, SequenceGap

GAPS = 50
"""Gaps in the numbers of events that the page lists."""
_SHORT = 12
"""Letters of a digest; the event `projection.rebuilt` has all."""


class StoreState(Struct, frozen=True):
    """The state of the store: positions, dead letters by reason, accepted losses, migrations that are missing.

    `recording` says why reads can't be recorded; empty when they can. `waiting`: records of reads that wait for Kafka.
    """

    log_size: int
    dead_letters: dict[str, int]
    gaps: int
    pending_migrations: list[str]
    recording: str
    waiting: int


class ProjectionRow(Struct, frozen=True, kw_only=True):
    """A build of a projection. `rebuilt` says from which tables and rows; empty if it was never rebuilt."""

    status: ProjectionStatus
    live_since: Moment | None
    rebuilt: list[str]
    can_be_rebuilt: bool


class FollowerRow(Struct, frozen=True, kw_only=True):
    """A follower that sends the log to another system. `stands_still`: somebody has to look after it."""

    status: FollowerStatus
    behind: str
    sent_at: Moment | None
    problem_since: Moment | None

    @property
    def stands_still(self) -> bool:
        """Whether it sends nothing, and nobody has decided that."""
        return self.status.state in _STANDSTILLS


_STANDSTILLS = frozenset({FollowerState.STOPPED, FollowerState.FAILING, FollowerState.UNATTENDED})


class WitnessRow(Struct, frozen=True):
    """The newest head that a witness has signed."""

    name: str
    size: int
    behind: int
    at: Moment


class SourceRow(Struct, frozen=True):
    """A service that reports, and how long ago it was last heard."""

    service: str
    occurred_at: Moment
    recorded_at: Moment | None
    ago: str


class GapRow(Struct, frozen=True):
    """Missing events of a service. `link` leads to its page, for those whose role has such pages."""

    service: str
    instance: str
    numbers: str
    missing: str
    noticed_at: Moment | None
    late: bool
    link: str | None


class Operations(View, frozen=True, kw_only=True):
    """The page. What the principal may not see is None or empty."""

    template: ClassVar[str] = "operations.html"
    store: StoreState | None
    projections: list[ProjectionRow]
    followers: list[FollowerRow]
    head: SignedTreeHead | None
    signed_at: Moment | None
    verification: Verification | None
    places: list[PlaceRow]
    witnesses: list[WitnessRow]
    sources: list[SourceRow]
    down: list[tuple[str, Moment]]
    gaps: list[GapRow]
    watching: Watching
    requests: list[RequestRow]
    may_rebuild: bool
    may_read_letters: bool
    as_of_position: int

    @property
    def state_of_projections(self) -> str:
        """All live projections in a few words: what an operator wants to know first."""
        live = [each.status for each in self.projections if each.status.live]
        stopped = [each.name for each in live if each.failed_position is not None]
        if stopped:
            return f"stopped: {', '.join(stopped)}"
        slowest = max(live, key=lambda each: each.lag, default=None)
        if slowest is None or slowest.lag == 0:
            return "up to date"
        return f"the slowest, {slowest.name}, is {many(slowest.lag, 'event')} behind"


def operations(
    models: ScopedModels,
    operating: ScopedOperations,
    log: ScopedLog,
    viewer: Viewer,
    store: StoreState | None,
) -> Operations:
    """The page; blocks. `store` is None for roles without the right to metrics.

    Raises `AccessDeniedError` unless the principal may read the status.
    """
    projections = sorted(models.projections(), key=lambda each: (not each.live, each.name, -each.version))
    builds = operating.live_builds()
    proofs = viewer.may(Operation.READ_PROOFS)
    head = log.tree_head() if proofs else None
    size = 0 if head is None else head.size
    workers = operating.workers()
    may_read_letters = viewer.may(Operation.READ_DEAD_LETTERS)
    return Operations(
        viewer=viewer,
        title="Operations",
        store=store,
        projections=[_projection(each, builds, viewer) for each in projections],
        followers=[_follower(each, viewer) for each in models.followers()],
        head=head,
        signed_at=None if head is None else viewer.moment(head.signed_at),
        verification=verification(*operating.verification(), viewer) if proofs else None,
        places=[place_row(each, size, viewer) for each in operating.places()] if proofs else [],
        witnesses=[
            WitnessRow(each.witness, each.size, max(0, size - each.size), viewer.moment(each.received_at))
            for each in (operating.cosignatures() if proofs else [])
        ],
        sources=[
            SourceRow(
                each.service,
                viewer.moment(each.occurred_at),
                None if each.recorded_at is None else viewer.moment(each.recorded_at),
                duration(viewer.now - (each.recorded_at or each.occurred_at)),
            )
            for each in operating.sources()
        ],
        watching=watching(models, viewer),
        down=[(each.service, viewer.moment(each.since)) for each in operating.failing_services()],
        gaps=[_gap(each, viewer) for each in models.sequence_gaps(GAPS).gaps],
        requests=(
            [request_row(each, workers.get(each.kind.part), viewer) for each in operating.requests()[:10]]
            if may_read_letters
            else []
        ),
        may_rebuild=viewer.may(Operation.REBUILD),
        may_read_letters=may_read_letters,
        as_of_position=min((each.position for each in projections if each.live), default=-1),
    )


def _gap(gap: SequenceGap, viewer: Viewer) -> GapRow:
    return GapRow(
        gap.service,
        gap.instance or "",
        span(gap),
        missing(gap),
        None if gap.noticed_at is None else viewer.moment(gap.noticed_at),
        gap.late,
        link_to(viewer, "service", gap.service),
    )


def _follower(status: FollowerStatus, viewer: Viewer) -> FollowerRow:
    return FollowerRow(
        status=status,
        behind=(
            f"{many(status.lag, 'event')}, {duration(timedelta(seconds=status.lag_seconds))}"
            if status.lag
            else "up to date"
        ),
        sent_at=None if status.sent_at is None else viewer.moment(status.sent_at),
        problem_since=None if status.problem_since is None else viewer.moment(status.problem_since),
    )


def _projection(status: ProjectionStatus, builds: dict[str, BuildInfo], viewer: Viewer) -> ProjectionRow:
    info = builds.get(status.name) if status.live else None
    since: datetime | None = None if info is None else info.switched_at
    return ProjectionRow(
        status=status,
        live_since=None if since is None else viewer.moment(since),
        rebuilt=(
            []
            if info is None
            else [
                f"{table}: {rows:,} rows, sha256 {digest[:_SHORT]}"
                for table, (rows, digest) in sorted(info.tables.items())
            ]
        ),
        can_be_rebuilt=status.live and not status.own and viewer.may(Operation.REBUILD),
    )
