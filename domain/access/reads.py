"""What one request looked at, gathered on the way, so that the look itself can be put on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct


class Read(Struct, frozen=True):
    """One question: the operation, what was asked (no result), and how many events or rows were returned."""

    operation: str
    asked: Mapping[str, Any]
    returned: int


class Reads:
    """The questions of one request, and the patients whose data the answers told. Threads may share one."""

    def __init__(self) -> None:
        self.questions: list[Read] = []
        self._patients: dict[str, None] = {}

    def note(
        self, operation: str, asked: Mapping[str, Any], returned: int, patients: Iterable[str] = ()
    ) -> None:
        """Add one question."""
        self.questions.append(Read(operation, asked, returned))
        self._patients.update(dict.fromkeys(patients))

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
