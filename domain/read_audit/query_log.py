"""The queries of one request, those that were answered and those that were denied, for its access record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from msgspec import Struct

from domain.errors import AccessDeniedError


class LoggedQuery(Struct, frozen=True):
    """One query: its operation, its parameters, and how many events or rows it returned.

    `echoes` of the returned events only record deliveries to subscribers, see `events.is_echo`.
    """

    operation: str
    parameters: Mapping[str, Any]
    returned: int
    echoes: int = 0


class LoggedQueries(NamedTuple):
    """Queries, and the patients that they disclosed or, if they were denied, named."""

    queries: list[LoggedQuery]
    patients: tuple[str, ...]

    @property
    def only_echoes(self) -> bool:
        """Whether the answers hold nothing but records of deliveries to subscribers."""
        return all(query.returned == query.echoes for query in self.queries)


NO_QUERIES = LoggedQueries([], ())


class QueryLog:
    """The queries of one request and the patients that the answers disclose. Threads may share one."""

    def __init__(self) -> None:
        self.queries: list[LoggedQuery] = []
        self._patients: dict[str, None] = {}
        self._denied: list[tuple[LoggedQuery, Collection[str]]] = []

    def add(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        returned: int,
        patients: Iterable[str] = (),
        echoes: int = 0,
    ) -> None:
        """Add an answered query; `patients` are those that the answer discloses."""
        self.queries.append(LoggedQuery(operation, parameters, returned, echoes))
        self._patients.update(dict.fromkeys(patients))

    def take(self) -> LoggedQueries:
        """The answered queries, which leave the log."""
        queries, self.queries = self.queries, []
        patients, self._patients = self._patients, {}
        return LoggedQueries(queries, tuple(patients))

    @contextmanager
    def record_denial(
        self, operation: str, describe: Callable[[], tuple[Mapping[str, Any], Collection[str]]]
    ) -> Iterator[None]:
        """Add a denied query when the block raises `AccessDeniedError`.

        `describe` gives its parameters and the patients that they name; it is called only then.
        """
        try:
            yield
        except AccessDeniedError:
            self.deny(operation, *describe())
            raise

    def deny(self, operation: str, parameters: Mapping[str, Any], patients: Collection[str] = ()) -> None:
        """Add a denied query; `patients` are those that it names."""
        self._denied.append((LoggedQuery(operation, parameters, 0), patients))

    @property
    def has_denied(self) -> bool:
        """Whether a query was denied."""
        return bool(self._denied)

    def take_denied(self) -> LoggedQueries:
        """The denied queries, which leave the log."""
        denied, self._denied = self._denied, []
        named = dict.fromkeys(patient for _, patients in denied for patient in patients)
        return LoggedQueries([query for query, _ in denied], tuple(named))

    @property
    def patients(self) -> tuple[str, ...]:
        """The disclosed patients, each once, in the order of appearance."""
        return tuple(self._patients)

    @property
    def returned(self) -> int:
        """How many events and rows all answers hold."""
        return sum(query.returned for query in self.queries)

    def __bool__(self) -> bool:
        return bool(self.queries)
