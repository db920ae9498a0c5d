"""What a correlation can ask beyond Sigma: against a group's own past, against its rhythm, and for what is missing.

All times are in seconds.
"""

from __future__ import annotations

from msgspec import Struct

from detection.rules.event_fields import EventField


class Baseline(Struct, frozen=True):
    """A count that must exceed the group's own past: the highest counts of its timespans with events.

    `days`: how far back. `percentile`: of these counts, by nearest rank. `learning`: a group must be known for so
    long. `factor`: the count must be more than so many times the percentile.
    """

    days: int
    percentile: float
    learning: int
    factor: float


class NewValues(Struct, frozen=True):
    """Only values count that the group has not had for `memory`, once it is known for `learning`."""

    memory: int
    learning: int


class Return(Struct, frozen=True):
    """Only events count that come after the group had none for `silence`. It is forgotten after `memory`."""

    silence: int
    memory: int


class Rhythm(Struct, frozen=True):
    """A group may be silent for `factor` times its second-longest pause in `days`, but at least for the timespan."""

    days: int
    factor: float
    learning: int


class Absence(Struct, frozen=True):
    """No event of the counted rules comes within the timespan after one of the member `after`.

    `rhythm`: the time that a group may be silent is learnt. `announced_by`: the member whose events say that the group
    will be silent.
    """

    after: int
    rhythm: Rhythm | None = None
    announced_by: int | None = None


class Numbering(Struct, frozen=True):
    """Numbers of a group's events that do not come within the timespan after a higher one."""

    field: EventField


Extension = Baseline | NewValues | Return | Absence | Numbering
