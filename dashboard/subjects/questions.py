"""The questions that somebody asked about accesses, with the answers."""

from __future__ import annotations

from dashboard import links
from dashboard.explorer.addresses import filter_of
from dashboard.plain_words import plain_sentence
from dashboard.subjects.page import EVENTS, Cell, Section, at
from dashboard.subjects.subject_events import Pairs
from dashboard.viewer import Viewer
from domain.access.access_question import EVENT, QUESTIONED
from domain.catalogue import CATALOGUE, Category
from domain.event import RecordedEvent
from domain.read_audit.events import READ
from queries.filters.event_filter import PageRequest
from queries.scoped.read_models import ScopedModels

_ANSWERS = tuple(
    ("type", name)
    for name, entry in CATALOGUE.items()
    if entry.category is Category.TRAIL and name not in {READ, QUESTIONED}
)
"""What names a question as its object is an answer, and a decision of the trail: nobody can ask about a question."""
_UNSEEN = "the privacy office answers outside of this page"


def own_questions(models: ScopedModels, viewer: Viewer, pairs: Pairs, *, answers: bool) -> Section | None:
    """The newest questions that the viewer asked, among the events that `pairs` find; None if there are none.

    `answers`: the viewer sees answers, which are among these events too.
    """
    query = models.prepare(filter_of((*pairs, ("type", QUESTIONED))))
    asked = [
        each
        for each in models.events(query, PageRequest(first=EVENTS)).events
        if each.event.actor.id == viewer.principal.id
    ]
    if not asked:
        return None
    found = _answers(models, pairs, asked) if answers else None
    rows = [
        [
            Cell(viewer.moment(each.event.occurred_at).local, links.event(each.event.event_id)),
            Cell("the event that you asked about", links.event(each.event.resources[0].id))
            if each.event.resources
            else Cell("not shown to you"),
            Cell(each.event.reason or ""),
            Cell(_UNSEEN) if found is None else _answer(viewer, found.get(str(each.event.event_id))),
        ]
        for each in asked
    ]
    columns = ["When", "About", "What you asked", "Answer"]
    return Section("The questions that you asked", columns, rows, limit=EVENTS)


def _answers(models: ScopedModels, pairs: Pairs, asked: list[RecordedEvent]) -> dict[str, RecordedEvent]:
    """The newest answer to each question, by the question's id."""
    ids = {str(each.event.event_id) for each in asked}
    query = models.prepare(filter_of((*pairs, *_ANSWERS)))
    found: dict[str, RecordedEvent] = {}
    for each in models.events(query, PageRequest(first=10 * EVENTS)).events:
        for resource in each.event.resources:
            if resource.type == EVENT and resource.id in ids:
                found.setdefault(resource.id, each)
    return found


def _answer(viewer: Viewer, answer: RecordedEvent | None) -> Cell:
    if answer is None:
        return Cell("not answered yet")
    event = answer.event
    text = event.reason or f"{plain_sentence(event, viewer)}, {at(viewer.moment(event.occurred_at)).text}"
    return Cell(text, links.event(event.event_id))
