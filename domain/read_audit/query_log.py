"""The queries of one request, allowed and refused, collected for its access record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from msgspec import Struct

from domain.errors import AccessDeniedError


class Read(Struct, frozen=True):
    """One query: the operation, its arguments, and the number of returned events or rows.

    `echoes` is the number of returned events for which `domain.read_audit.events.is_echo` holds.
    """

    operation: str
    asked: Mapping[str, Any]
    returned: int
    echoes: int = 0


Question = tuple[Mapping[str, Any], Collection[str]]
"""The arguments of a query, and the patients that they name."""


class Taken(NamedTuple):
    """A snapshot of the log."""

    questions: list[Read]
    patients: tuple[str, ...]

    @property
    def only_echoes(self) -> bool:
        """Whether all returned events are echoes."""
        return all(question.returned == question.echoes for question in self.questions)


NOTHING = Taken([], ())


class Reads:
    """The queries of one request, and the patients that the answers disclosed. Thread-safe."""

    def __init__(self) -> None:
        self.questions: list[Read] = []
        self._patients: dict[str, None] = {}
        self._refused: list[tuple[Read, Collection[str]]] = []

    def note(
        self,
        operation: str,
        asked: Mapping[str, Any],
        returned: int,
        patients: Iterable[str] = (),
        echoes: int = 0,
    ) -> None:
        """Add one query."""
        self.questions.append(Read(operation, asked, returned, echoes))
        self._patients.update(dict.fromkeys(patients))

    def take(self) -> Taken:
        """Return all queries and clear the log."""
        questions, self.questions = self.questions, []
        patients, self._patients = self._patients, {}
        return Taken(questions, tuple(patients))

    @contextmanager
    def asking(self, operation: str, question: Callable[[], Question]) -> Iterator[None]:
        """Add a refused query when the block raises `AccessDeniedError`. `question` is called only then."""
        try:
            yield
        except AccessDeniedError:
            self.refuse(operation, *question())
            raise

    def refuse(self, operation: str, asked: Mapping[str, Any], patients: Collection[str] = ()) -> None:
        """Add a refused query. `patients` are those that it names."""
        self._refused.append((Read(operation, asked, 0), patients))

    @property
    def refused(self) -> bool:
        """Whether a query was refused."""
        return bool(self._refused)

    def take_refused(self) -> Taken:
        """Return the refused queries and clear them."""
        refused, self._refused = self._refused, []
        named = dict.fromkeys(patient for _, patients in refused for patient in patients)
        return Taken([question for question, _ in refused], tuple(named))

    @property
    def patients(self) -> tuple[str, ...]:
        """The distinct patients, in order of appearance."""
        return tuple(self._patients)

    @property
    def returned(self) -> int:
        """The number of returned events and rows."""
        return sum(question.returned for question in self.questions)

    def __bool__(self) -> bool:
        return bool(self.questions)
