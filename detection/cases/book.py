"""What the books of cases and of reviews share: their recorder, and the repetition of a decision after a conflict.

Failures: another process that was faster several times, or a database that is away, is **retry**. An append is all or
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application, LRUCache
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError, OperationalError

from detection.cases.stored_events import UnknownTopicError
from domain.errors import (
    AccessDeniedError,
    ConflictError,
    FencedError,
    Reason,
    RejectedError,
    UnavailableError,
)

_ATTEMPTS = 5
"""How often a decision is repeated because another process has appended to the same aggregate."""
_CACHED = 500
"""Aggregates that stay in memory. The events after those that are known are read each time."""

Found = TypeVar("Found", bound=Aggregate)
Result = TypeVar("Result")


class Book(Application[UUID]):
    """Aggregates of one log. Not thread-safe.

    `key` is the text of a key file; every append signs the log's head.
    """

    def __init__(self, url: str, key: str) -> None:
        super().__init__(
            env={
                "PERSISTENCE_MODULE": "event_store.recorder",
                "DATABASE_URL": url,
                "LOG_KEY": key,
                "AGGREGATE_CACHE_MAXSIZE": str(_CACHED),
                # Copying a case of a thousand alerts takes longer than all else: `decide` forgets it after an error.
                "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
                "IS_SNAPSHOTTING_ENABLED": "n",
            }
        )

    def find(self, kind: type[Found], id: UUID) -> Found | None:
        """The aggregate, None if nothing has this id. Raises `ConflictError` if something else has it."""
        try:
            found: Aggregate = self.repository.get(id)
        except AggregateNotFoundError:
            return None
        except UnknownTopicError as exc:
            raise taken() from exc
        if not isinstance(found, kind):
            raise taken()
        return found

    def find_only(self, kind: type[Found], id: UUID) -> Found | None:
        """The aggregate, None if nothing, or something else, has this id.

        The ids of some aggregates follow from the ids of persons: a command must not tell that there is one.
        """
        try:
            return self.find(kind, id)
        except ConflictError:
            return None

    def decide(self, decide: Callable[[], Result]) -> Result:
        """What `decide` returns; it is called again when another process has appended meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                return decide()
            except (RejectedError, AccessDeniedError):
                raise  # before anything was changed
            except IntegrityError:
                self._forget()  # and decide again
            except OperationalError as exc:
                self._forget()
                raise UnavailableError(str(exc)) from exc
            except BaseException:
                self._forget()
                raise
        raise FencedError("other processes append to the same aggregate all the time; try again")

    def _forget(self) -> None:
        """Read all aggregates again: those in memory may have events that the log lacks."""
        self.repository.cache = LRUCache(_CACHED)


def taken() -> ConflictError:
    """The error for an id that something else has."""
    return ConflictError(Reason.CONFLICT, "this is the id of something else", field="target")
