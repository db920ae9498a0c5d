"""An event in plain words: the subject and the text of a notice. Every line is bounded and has printable text alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from domain.catalogue import ALERT_RAISED, CATALOGUE, TRAIL_SERVICE
from forwarding.alerts import AlertFacts, alert_facts, level_of
from forwarding.records import Record

QUESTION = "Audit Trail: a question to you"
_MOST_SUBJECT = 150
_MOST_LINE = 2000
_MOST_REASONS = 8000
_SHOWN_POSITIONS = 20


def subject(record: Record) -> str:
    """One line without names and ids of persons: mailboxes show it to whoever looks at the screen."""
    event = record.recorded.event
    facts = alert_facts(event)
    if record.test:
        return "Audit Trail: a test, nothing has happened"
    what = _described(event.type) if facts is None else facts.rule
    return one_line(f"Audit Trail, {level_of(event)}: {what}", _MOST_SUBJECT)


def text(record: Record, dashboard_url: str | None) -> str:
    """The text of a notice, of several lines."""
    return "\n".join(one_line(line, _MOST_LINE) for line in _lines(record, dashboard_url)) + "\n"


def question_text(dashboard_url: str) -> str:
    """The text for an employee who is asked about a case. It says nothing about the case, and names nobody."""
    return (
        "The office that looks into uses of patients' records has a question to you.\n"
        f"Please sign in and answer it: {dashboard_url.rstrip('/')}/questions\n"
        "This message does not say what it is about, since mail can be read on its way.\n"
    )


def page_link(record: Record, dashboard_url: str | None) -> str | None:
    """The page in the dashboard: of the alert, whose id its event has, or else of the event.

    An alert that another service claims to report has no page of its own.
    """
    if dashboard_url is None or record.test:
        return None
    event = record.recorded.event
    is_alert = event.type == ALERT_RAISED and event.source.service == TRAIL_SERVICE
    return f"{dashboard_url.rstrip('/')}/{'alerts' if is_alert else 'events'}/{event.event_id}"


def one_line(text: str, most: int) -> str:
    """The text without line breaks and other characters that do not print, such as those that turn its direction."""
    shown = "".join(each if each.isprintable() else " " for each in text[: most * 2])
    short = " ".join(shown.split())
    return short if len(short) <= most else short[: most - 3] + "..."


def _lines(record: Record, dashboard_url: str | None) -> Iterator[str]:
    event = record.recorded.event
    facts = alert_facts(event)
    yield from _of_event(record) if facts is None else _of_alert(facts)
    yield f"Level: {level_of(event)}"
    yield f"Recorded: {_moment(record.recorded.recorded_at)}"
    if event.reason or event.outcome_reason:
        yield f"Why: {(event.reason or event.outcome_reason or '')[:_MOST_REASONS]}"
    yield f"Reported by: {event.source.service}"
    if not record.test:
        yield f"Event: {event.event_id}, at position {record.leaf.position} of {record.leaf.origin}"
    if link := page_link(record, dashboard_url):
        yield f"See: {link}"
    if record.redacted:
        yield "Parts of the event are hidden from the roles of this follower."
    yield f"Sent by the follower {record.follower} of Audit Trail."


def _of_alert(facts: AlertFacts) -> Iterator[str]:
    yield f"Rule: {facts.rule}"
    for name, value in facts.group:
        yield f"About: {name} {value}"
    if facts.begins is not None and facts.ends is not None:
        yield f"Time: {_moment(facts.begins)} to {_moment(facts.ends)}"
    if facts.events is not None:
        yield f"Events: {facts.events} when it was raised"
    if facts.positions:
        shown = ", ".join(map(str, facts.positions[:_SHOWN_POSITIONS]))
        rest = len(facts.positions) - _SHOWN_POSITIONS
        yield f"Positions: {shown}" + (f" and {rest} more" if rest > 0 else "")


def _of_event(record: Record) -> Iterator[str]:
    event = record.recorded.event
    yield f"What: {_described(event.type)} ({event.type}, {event.outcome.value})"
    yield f"Time: {_moment(event.occurred_at)}"
    if event.actor.id or event.actor.name:
        yield f"Actor: {' '.join(each for each in (event.actor.id, event.actor.name) if each)}"
    for resource in event.resources[:_SHOWN_POSITIONS]:
        yield f"About: {resource.type} {resource.id}"


def _described(type: str) -> str:
    row = CATALOGUE.get(type)
    return type if row is None else row.description.rstrip(".")


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
