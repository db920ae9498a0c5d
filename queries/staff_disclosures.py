"""Which patients see staff, by the newest decision in each one's timeline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from threading import Lock

from cachetools import TTLCache

from domain.access.staff_disclosure import DECIDED, Decision, decision_of
from domain.catalogue import TRAIL_SERVICE
from queries.filters import EventFilter, PageRequest
from queries.prepared import prepare
from queries.read_models import ReadModels

_SECONDS = 5.0
"""For so long a decision may go unnoticed, or one that was taken back still count."""
_KEPT = 10_000


class StaffDisclosures:
    """Blocks; keeps what it found for some seconds. Threads may share it."""

    def __init__(self, models: ReadModels, seconds: float = _SECONDS) -> None:
        self._models = models
        self._kept: TTLCache[str, tuple[Decision | None]] = TTLCache(_KEPT, seconds)
        self._lock = Lock()

    def known(self, patients: Sequence[str]) -> Collection[str] | None:
        """As `seen_by`, None when the trail would have to be asked. It does not block."""
        found = [self._fresh(patient) for patient in patients]
        if any(each is None for each in found):
            return None
        return self._holding(
            (patient, each[0]) for patient, each in zip(patients, found, strict=True) if each
        )

    def seen_by(self, patients: Iterable[str]) -> Collection[str]:
        """Those of `patients` who see staff now."""
        return self._holding((patient, self._decision(patient)) for patient in patients)

    @staticmethod
    def _holding(decisions: Iterable[tuple[str, Decision | None]]) -> frozenset[str]:
        now = datetime.now(UTC)
        return frozenset(patient for patient, each in decisions if each is not None and each.holds(now))

    def _fresh(self, patient: str) -> tuple[Decision | None] | None:
        with self._lock:
            return self._kept.get(patient)

    def _decision(self, patient: str) -> Decision | None:
        kept = self._fresh(patient)
        if kept is not None:
            return kept[0]
        query = prepare(EventFilter(patient=patient, types=(DECIDED,), service=TRAIL_SERVICE))
        page = self._models.events(query, PageRequest(first=1))
        decision = decision_of(page.events[0].event) if page.events else None
        with self._lock:
            self._kept[patient] = (decision,)
        return decision
