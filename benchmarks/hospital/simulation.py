"""The simulation: days of work, with the incidents among them, as the events of a log."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.hospital.diary import Diary, Incident
from benchmarks.hospital.kinds import KINDS
from benchmarks.hospital.machines import machines
from benchmarks.hospital.people import DAY, LEFT, Population, Size
from benchmarks.hospital.rosters import Rosters
from benchmarks.hospital.site import Programs, Site
from benchmarks.hospital.stays import Stays
from benchmarks.hospital.work import everyday
from domain.event import RecordedEvent

_RETURNS = 95
"""The day on which those on leave come back."""


class Hospital:
    """A synthetic hospital. `read` may be called once, and fills the labels on its way."""

    def __init__(self, size: Size) -> None:
        population = Population(size)
        left, leave = _absent(size, population)
        away = dict.fromkeys(left, (LEFT, size.days)) | dict.fromkeys(leave, (LEFT, _RETURNS - 1))
        self.site = Site(
            size=size,
            population=population,
            stays=Stays(size, population),
            rosters=Rosters(size, population, away),
            programs=Programs(),
            diary=Diary(size),
            gone=dict.fromkeys(left, False),
            back=dict.fromkeys(leave, _RETURNS * DAY),
        )
        self._days = _planned(size)

    @property
    def incidents(self) -> list[Incident]:
        """The labels; those of which an event is in the log have positions."""
        return [incident for incident in self.site.diary.incidents if incident.positions]

    def read(self) -> Iterator[RecordedEvent]:
        """All events in the order of the log. One day of them is in memory at a time."""
        for _, events in self.days():
            yield from events

    def days(self) -> Iterator[tuple[int, Iterator[RecordedEvent]]]:
        """The same, day by day. The events of one have to be read before the next."""
        for day in range(self.site.size.days):
            everyday(self.site, day)
            machines(self.site, day)
            for number, name in enumerate(self._days.pop(day, ())):
                self._happens(name, day, number)
            # Night shifts begin some minutes before their time, but never before the day.
            yield day, self.site.diary.read((day + 1) * DAY)
        yield self.site.size.days, self.site.diary.read((self.site.size.days + 2) * DAY)

    def _happens(self, name: str, day: int, number: int) -> None:
        """An incident; if nobody fits on that day, the next one that has a chance."""
        scene, chance = KINDS[name].scene, self.site.size.chance(name, day, number)
        if scene and not scene(self.site, chance, name, day) and day + 2 < self.site.size.days:
            self._days.setdefault(day + 1, []).append(name)


def _absent(size: Size, population: Population) -> tuple[list[str], list[str]]:
    """Those who left in the first week, and those who are on leave for three months."""
    chance = size.chance("absent")
    able = [one.id for one in population.staff.values() if one.role == "nurse"]
    found = chance.sample(able, size.scaled(12) + size.scaled(8))
    return found[: size.scaled(12)], found[size.scaled(12) :]


def _planned(size: Size) -> dict[int, list[str]]:
    """The kinds of incidents of each day, at least three of each kind if the time is long enough."""
    days: dict[int, list[str]] = {}
    for name, kind in KINDS.items():
        chance = size.chance("days", name)
        last = size.days - 2
        if kind.from_day > last:
            continue
        for _ in range(size.scaled(kind.count) if kind.scene else 0):
            days.setdefault(chance.randint(kind.from_day, last), []).append(name)
    return days
