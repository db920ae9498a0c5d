"""The state of every build of every projection."""

from __future__ import annotations

from event_store.database import Connection
from projections.build_state import known_projectors, misfit, state_of
from projections.projector import Projector
from projections.registry import Build, list_builds
from queries.summaries.results import ProjectionStatus


def list_versions(connection: Connection) -> list[ProjectionStatus]:
    """The state of every build."""
    known = known_projectors()
    return [_status(build, known.get(build.name)) for build in list_builds(connection)]


def _status(build: Build, projector: Projector | None) -> ProjectionStatus:
    wrong = misfit(projector, build) if build.live and projector is not None else None
    return ProjectionStatus(
        name=build.name,
        version=build.version,
        position=build.position,
        lag=build.lag,
        state=state_of(build, projector),
        live=build.live,
        failed_position=build.failed_position,
        failed_event_id=None if build.failed_event_id is None else str(build.failed_event_id),
        error=build.failure,
        misfit=str(wrong) if wrong else None,
        own=build.custom,
    )
