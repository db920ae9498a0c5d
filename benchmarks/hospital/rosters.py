"""Who works when: shifts of each day, night shifts, nurses who are lent to another ward, and who is on call."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from benchmarks.hospital.people import DAY, DIAGNOSTICS, ENGINEERING, HOUR, IT, Population, Size, Staff

_SHIFTS = ((6, 14), (14, 22), (22, 30))
"""Early, late and night, in hours from midnight."""
_LENT = 0.04
"""The share of nurses who work on another ward for a day."""


class Shift(Struct, frozen=True, kw_only=True):
    """One person's working time, in seconds of the simulation. `department`: where they work this time."""

    staff: Staff
    department: str
    begins: float
    ends: float
    on_call: bool = False

    def holds(self, second: float) -> bool:
        """Whether it is that shift's time."""
        return self.begins <= second <= self.ends


class Rosters:
    """The rosters of all days, each computed when it is asked for."""

    def __init__(self, size: Size, population: Population, away: dict[str, tuple[int, int]]) -> None:
        """`away`: first and last day without a shift, by user id."""
        self._size = size
        self._population = population
        self._away = away
        self.of_day = lru_cache(maxsize=4)(self._of_day)

    def _of_day(self, day: int) -> tuple[Shift, ...]:
        """The shifts that begin on a day; 0 is the first one, a Monday."""
        chance = self._size.chance("roster", day)
        found: list[Shift] = []
        for department, colleagues in self._population.of_department.items():
            present = [one for one in colleagues if not self._is_away(one, day)]
            for number, one in enumerate(present):
                # Five days of seven, staggered; office hours have their weekend together.
                rests = (day + number * 3) % 7 >= 5
                if one.role == "nurse" or department in DIAGNOSTICS:
                    if not rests:
                        begins, ends = chance.choices(_SHIFTS, weights=(45, 35, 20))[0]
                        where = department
                        if one.role == "nurse" and chance.random() < _LENT:
                            where = chance.choice(self._size.wards)
                        found.append(_shift(one, where, day, begins, ends))
                elif day % 7 < 5:
                    begins = 7 if one.role == "doctor" else chance.choice((7, 8, 8, 8))
                    found.append(_shift(one, department, day, begins, begins + 9))
            found += self._on_call(present, department, day)
        return tuple(found)

    def _on_call(self, present: list[Staff], department: str, day: int) -> list[Shift]:
        """One doctor of each ward, one administrator and one technician are on call for the night; weekends too."""
        able = [one for one in present if one.role == "doctor"] or (
            present if department in (IT, ENGINEERING) else []
        )
        if not able:
            return []
        one = able[day % len(able)]
        begins = 17 if day % 7 < 5 else 8
        return [_shift(one, department, day, begins, 31, on_call=True)]

    def _is_away(self, one: Staff, day: int) -> bool:
        first, last = self._away.get(one.id, (1, 0))
        return first <= day <= last

    def on_duty(self, staff_id: str, second: float) -> bool:
        """Whether somebody works at that time, by the roster."""
        day = int(second // DAY)
        shifts = [shift for each in (day - 1, day) for shift in self.of_day(each)]
        return any(shift.staff.id == staff_id and shift.holds(second) for shift in shifts)


def _shift(one: Staff, department: str, day: int, begins: int, ends: int, *, on_call: bool = False) -> Shift:
    start = day * DAY
    return Shift(
        staff=one,
        department=department,
        begins=start + begins * HOUR,
        ends=start + ends * HOUR,
        on_call=on_call,
    )
