"""What one request looked at, or was refused, gathered on the way, so that the look itself can be put on record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from msgspec import Struct

from domain.errors import AccessDeniedError


class Read(Struct, frozen=True):
    """One question: the operation, what was asked (no result), and how many events or rows were returned.

    `echoes` of these tell only what subscribers were given, see `looks.is_echo`.
    """

    operation: str
    asked: Mapping[str, Any]
    returned: int
    echoes: int = 0


Question = tuple[Mapping[str, Any], Collection[str]]
"""What was asked, and the patients that it names."""


class Taken(NamedTuple):
    """What was noted up to now."""

    questions: list[Read]
    patients: tuple[str, ...]

    @property
    def only_echoes(self) -> bool:
        """Whether nothing was told but what subscribers were given."""
        return all(question.returned == question.echoes for question in self.questions)


NOTHING = Taken([], ())


class Reads:
    """The questions of one request, and the patients whose data the answers told. Threads may share one."""

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
        """Add one question."""
        self.questions.append(Read(operation, asked, returned, echoes))
        self._patients.update(dict.fromkeys(patients))

    def take(self) -> Taken:
        """All that was noted; what comes next is noted anew."""
        questions, self.questions = self.questions, []
        patients, self._patients = self._patients, {}
        return Taken(questions, tuple(patients))

    @contextmanager
    def asking(self, operation: str, question: Callable[[], Question]) -> Iterator[None]:
        """Note a question when it raises `AccessDeniedError`; what it was is asked for then alone."""
        try:
            yield
        except AccessDeniedError:
            self.refuse(operation, *question())
            raise

    def refuse(self, operation: str, asked: Mapping[str, Any], patients: Collection[str] = ()) -> None:
        """Note a question that may not be asked. `patients`: whom it named."""
        self._refused.append((Read(operation, asked, 0), patients))

    @property
    def refused(self) -> bool:
        """Whether there was such a question."""
        return bool(self._refused)

    def take_refused(self) -> Taken:
        """As `take`, of what was refused."""
        refused, self._refused = self._refused, []
        named = dict.fromkeys(patient for _, patients in refused for patient in patients)
        return Taken([question for question, _ in refused], tuple(named))

    @property
    def patients(self) -> tuple[str, ...]:
        """Each patient once, in the order of appearance."""
        return tuple(self._patients)

    @property
    def returned(self) -> int:
        """How many events and rows in all."""
        return sum(question.returned for question in self.questions)

    def __bool__(self) -> bool:
        return bool(self.questions)
