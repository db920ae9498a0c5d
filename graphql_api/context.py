"""What the resolvers of one HTTP request share."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar
from uuid import UUID

import strawberry

from domain.errors import AuditTrailError
from domain.event import RecordedEvent
from graphql_api.errors import Code, QueryError, from_domain
from graphql_api.limits import QueryLimits
from graphql_api.reading import Threads
from projections import answers
from projections.filters import EventFilter, EventPage, PageRequest

P = ParamSpec("P")
T = TypeVar("T")


class Readable(Protocol):
    """The read models, as `projections.read_models.ReadModels` offers them. Every method blocks."""

    def events(self, filter: EventFilter, page: PageRequest) -> EventPage:
        """See ReadModels."""
        ...

    def event(self, event_id: UUID) -> RecordedEvent | None:
        """See ReadModels."""
        ...

    def as_of_position(self) -> int:
        """See ReadModels."""
        ...

    def patient(self, id: str, limit: int = ...) -> answers.PatientActivity | None:
        """See ReadModels."""
        ...

    def user(self, id: str, limit: int = ...) -> answers.UserActivity | None:
        """See ReadModels."""
        ...

    def device(self, id: str, limit: int = ...) -> answers.DeviceActivity | None:
        """See ReadModels."""
        ...

    def service(self, id: str, limit: int = ...) -> answers.ServiceActivity | None:
        """See ReadModels."""
        ...

    def resource(self, type: str, id: str) -> answers.ResourceActivity | None:
        """See ReadModels."""
        ...

    def projections(self) -> list[answers.ProjectionStatus]:
        """See ReadModels."""
        ...


class Context:
    """One request: the read models, the limits, and how much of them is used up. A batch shares one."""

    def __init__(self, models: Readable, threads: Threads, limits: QueryLimits) -> None:
        self.models = models
        self.limits = limits
        self._threads = threads
        self._events_left = limits.max_events

    def spend(self, events: int) -> None:
        """Count a page of `events` against the request's limit. Raises `QueryError` when that is used up."""
        self._events_left -= events
        if self._events_left < 0:
            raise QueryError(
                Code.LIMIT_EXCEEDED,
                f"the pages of one request may ask for {self.limits.max_events} events in all",
            )

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a read model in a thread; a failure that is ours becomes the client's error."""
        try:
            return await self._threads.run(function, *args, **kwargs)
        except AuditTrailError as exc:
            raise from_domain(exc) from exc


Info = strawberry.Info[Context, None]
