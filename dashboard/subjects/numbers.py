"""The numbers of a service's events: the instances that count, what is missing, and what several events have."""

from __future__ import annotations

from dashboard.subjects.page import Cell, Part, Section, at
from dashboard.texts import many
from dashboard.viewer import Viewer
from queries.summaries.results import SequenceConflict, SequenceGap, ServiceActivity

LATE = "late"


def numbers(viewer: Viewer, found: ServiceActivity) -> list[Part]:
    """Three tables; nothing for a service that does not number its events."""
    if not found.instances:
        return []
    instances = [
        [
            Cell(each.instance or ""),
            Cell(str(each.highest)),
            Cell(str(each.events)),
            at(viewer.moment(each.last_at)),
        ]
        for each in found.instances
    ]
    gaps = [
        [
            Cell(each.instance or ""),
            Cell(span(each), marks=(LATE,) if each.late else ()),
            Cell(missing(each)),
            at(viewer.moment(each.noticed_at)) if each.noticed_at else Cell(""),
        ]
        for each in found.gaps
    ]
    conflicts = [[Cell(each.instance or ""), Cell(span(each))] for each in found.conflicts]
    return [
        Section(
            "Missing events",
            ["Instance", "Numbers", "Missing", "Noticed"],
            gaps,
            "None: the numbers have no gap.",
        ),
        *(
            [Section("Numbers of more than one event", ["Instance", "Numbers"], conflicts)]
            if conflicts
            else []
        ),
        Section(
            "Instances that number their events",
            ["Instance", "Highest number", "Events", "Last event"],
            instances,
        ),
    ]


def span(each: SequenceGap | SequenceConflict) -> str:
    """The numbers as text: "7", or "7 to 9"."""
    if each.from_number == each.to_number:
        return str(each.from_number)
    return f"{each.from_number} to {each.to_number}"


def missing(gap: SequenceGap) -> str:
    """How many events are missing."""
    return many(gap.to_number - gap.from_number + 1, "event")
