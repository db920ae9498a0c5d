"""The page of a resource: each field with its values over time, and who gave them."""

from __future__ import annotations

from dashboard import links
from dashboard.subjects.page import LIMIT, Cell, Part, Section, Subject, person
from dashboard.subjects.subject_events import SubjectEvents
from dashboard.texts import many
from dashboard.viewer import Viewer
from queries.cursors import decode_history_cursor, encode_history_cursor
from queries.history import ChangePage, FieldChange, HistoryPlace
from queries.scoped.read_models import ScopedModels


def resource_page(
    models: ScopedModels, viewer: Viewer, type: str, id: str, field: str = "", after: str = ""
) -> Subject | None:
    """A resource's history, field by field; only that of `field`, if it is given, and from the place `after` on.

    Blocks; None if nothing is recorded. Raises `RejectedError` that names the parameter.
    """
    found = models.resource(type, id)
    if found is None:
        return None
    place = HistoryPlace(*decode_history_cursor(after)) if after else None
    history = models.resource_changes(type, id, field or None, LIMIT, place)
    pairs = (("resource_type", type), ("resource_id", id))
    first, last = sorted((found.first_seen, found.last_seen))
    events = SubjectEvents(models, viewer, pairs, first, last)
    shown = f"the field {field}" if field else "all fields"
    return Subject(
        viewer=viewer,
        title=f"{type} {id}",
        id=id,
        lines=[
            f"{many(len(history.changes), 'change')} of {shown}{', and older ones' if history.end else ''}."
        ],
        first=viewer.moment(first),
        last=viewer.moment(last),
        parts=[
            *_fields(viewer, type, id, field, history),
            *_older(type, id, field, history),
            events.listed("The newest events"),
        ],
        link=events.link(),
        as_of_position=found.as_of_position,
    )


def _fields(viewer: Viewer, type: str, id: str, field: str, history: ChangePage) -> list[Part]:
    """A table for each field, those that changed last first."""
    by_path: dict[str, list[FieldChange]] = {}
    for each in history.changes:
        by_path.setdefault(each.path, []).append(each)
    if not by_path:
        return [Section("History", [], [], "No change of a field is recorded.")]
    columns = ["Since", "Value", "By", "Before"]
    return [
        Section(
            path,
            columns,
            [_value(each, viewer) for each in changes],
            link=links.resource(type, id, field=path),
            limit=len(changes) if history.end is not None and not field else LIMIT + 1,
        )
        for path, changes in by_path.items()
    ]


def _value(change: FieldChange, viewer: Viewer) -> list[Cell]:
    return [
        Cell(viewer.moment(change.occurred_at).local, links.event(change.event_id)),
        Cell(viewer.value(change.after)),
        person(viewer, change.actor.id, change.actor.name),
        Cell(viewer.value(change.before)),
    ]


def _older(type: str, id: str, field: str, history: ChangePage) -> list[Part]:
    if history.end is None:
        return []
    more = {"after": encode_history_cursor(*history.end)} | ({"field": field} if field else {})
    link = links.resource(type, id, **more)
    return [Section("Older changes", ["More"], [[Cell("The changes before these", link)]])]
