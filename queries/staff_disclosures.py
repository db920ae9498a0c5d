"""Which patients may see the names of staff, by the newest decision in their timelines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from threading import Lock

from cachetools import TTLCache

from domain.access.staff_disclosure import DECIDED, Decision, decision_of
from domain.catalogue import TRAIL_SERVICE
from queries.filters.event_filter import EventFilter, PageRequest
from queries.read_models import ReadModels
from queries.search.prepared import prepare

_SECONDS = 5.0
"""How long a decision stays in the cache. A new or revoked decision takes effect after this time at most."""
_MAX_CACHED = 10_000


class StaffDisclosures:
    """Finds decisions and caches them for some seconds. Threads may share it."""

    def __init__(self, models: ReadModels, seconds: float = _SECONDS) -> None:
        self._models = models
        self._cached: TTLCache[str, tuple[Decision | None]] = TTLCache(_MAX_CACHED, seconds)
        self._lock = Lock()

    def known(self, patients: Sequence[str]) -> Collection[str] | None:
        """The result of `seen_by` from the cache alone; None when a patient is not in it. It does not block."""
        found = [self._fresh(patient) for patient in patients]
        if any(each is None for each in found):
            return None
        return self._allowing(
            (patient, each[0]) for patient, each in zip(patients, found, strict=True) if each
        )

    def seen_by(self, patients: Iterable[str]) -> Collection[str]:
        """Those of `patients` who may see staff now. It blocks."""
        return self._allowing((patient, self._decision(patient)) for patient in patients)

    @staticmethod
    def _allowing(decisions: Iterable[tuple[str, Decision | None]]) -> frozenset[str]:
        now = datetime.now(UTC)
        return frozenset(patient for patient, each in decisions if each is not None and each.holds(now))

    def _fresh(self, patient: str) -> tuple[Decision | None] | None:
        with self._lock:
            return self._cached.get(patient)

    def _decision(self, patient: str) -> Decision | None:
        cached = self._fresh(patient)
        if cached is not None:
            return cached[0]
        query = prepare(EventFilter(patient=patient, types=(DECIDED,), service=TRAIL_SERVICE))
        page = self._models.events(query, PageRequest(first=1))
        decision = decision_of(page.events[0].event) if page.events else None
        with self._lock:
            self._cached[patient] = (decision,)
        return decision
