"""The state of every build of every projection."""

from __future__ import annotations

from event_store.database import Connection
from projections.registry import Build, list_builds
from queries.summaries.results import ProjectionStatus


def list_versions(connection: Connection) -> list[ProjectionStatus]:
    """The state of every build."""
    return [_status(build) for build in list_builds(connection)]


def _status(build: Build) -> ProjectionStatus:
    state = build.state
    if build.live:
        state = "paused" if build.paused else "running"
    return ProjectionStatus(
        name=build.name,
        version=build.version,
        position=build.position,
        lag=build.lag,
        state="failed" if build.failure is not None else state,
        live=build.live,
        failed_position=build.failed_position,
        failed_event_id=None if build.failed_event_id is None else str(build.failed_event_id),
        error=build.failure,
        own=build.custom,
    )
