"""Operations: projections, dead letters, losses, and whether reads can be recorded."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from dashboard.render import View
from dashboard.viewer import Viewer
from queries.scoped.read_models import ScopedModels
from queries.summaries.results import ProjectionStatus


class StoreState(Struct, frozen=True):
    """The state of the store: positions, dead letters by reason, accepted losses, migrations that are missing.

    `recording` says why reads can't be recorded; empty when they can.
    """

    log_size: int
    dead_letters: dict[str, int]
    gaps: int
    pending_migrations: list[str]
    recording: str


class Operations(View, frozen=True, kw_only=True):
    """The page."""

    template: ClassVar[str] = "operations.html"
    store: StoreState | None
    projections: list[ProjectionStatus]
    as_of_position: int


def operations(models: ScopedModels, viewer: Viewer, store: StoreState | None) -> Operations:
    """The page; blocks. `store` is None for roles without the right to metrics.

    Raises `AccessDeniedError` unless the principal may read the status.
    """
    projections = models.projections()
    return Operations(
        viewer=viewer,
        title="Operations",
        store=store,
        projections=sorted(projections, key=lambda each: (not each.live, each.name, -each.version)),
        as_of_position=min((each.position for each in projections if each.live), default=-1),
    )
