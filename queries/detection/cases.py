"""Cases, and what happened in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from domain.alert_level import Level
from domain.cases.commands import Verdict
from event_store.database import Connection, named
from event_store.statements import load
from queries.detection.alerts import WALK, at_least
from queries.detection.results import (
    BEGIN,
    CaseEntry,
    CaseFilter,
    CasePage,
    CaseState,
    CaseView,
    Place,
    QuestionView,
)

_SQL = load(__package__, "cases.sql")
_DRIVING = ("actor", "assignee", "state")
"""Conditions with an index, the most selective first."""
_TEXTS = ("reason", "text", "question", "answer")
"""The field of an entry's event that holds what somebody wrote."""
_PERSONS = ("assignee", "employee")


def find_cases(
    connection: Connection,
    filter: CaseFilter,
    limit: int,
    as_of: int,
    after: Place = BEGIN,
    hidden_actors: Collection[str] = (),
) -> CasePage:
    """A page of the cases that match, without those about `hidden_actors`."""
    walk = WALK if _is_checked(filter, hidden_actors) else limit + 1
    values = {
        "position": after.position,
        "id": after.id,
        "actor": filter.actor,
        "assignee": filter.assignee,
        "state": filter.state and filter.state.value,
        "asked": filter.asked,
        "levels": None if filter.level is None else at_least(filter.level),
        "walk": walk,
        "limit": limit + 1,
        "hidden_actors": list(hidden_actors),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SQL["page"], values)
        rows = named(cursor)
    found = [_case(row) for row in rows if row["case_id"] is not None]
    shown = found[:limit]
    if len(found) > limit:
        return CasePage(shown, as_of, Place(shown[-1].opened_position, shown[-1].case_id))
    last = rows[0]
    more = last["looked_cases"] == walk
    return CasePage(shown, as_of, Place(last["looked_position"], last["looked_id"]) if more else None)


def find_case(connection: Connection, id: str, hidden_actors: Collection[str] = ()) -> CaseView | None:
    """One case; None when there is none, or it is about one of `hidden_actors`."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["one"], {"id": id, "hidden_actors": list(hidden_actors)})
        rows = named(cursor)
    return _case(rows[0]) if rows else None


def find_entries(
    connection: Connection, id: str, limit: int, after: int = -1
) -> tuple[list[CaseEntry], int | None]:
    """The entries of a case after a position, and the position after which they continue; None at their end."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["entries"], {"id": id, "after": after, "limit": limit + 1})
        found = [_entry(row) for row in named(cursor)]
    shown = found[:limit]
    return shown, shown[-1].position if len(found) > limit else None


def find_questions(connection: Connection, ids: Collection[str], limit: int) -> list[QuestionView]:
    """The open questions to a person with these ids."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["questions"], {"ids": list(ids), "limit": limit})
        return [
            QuestionView(case_id=case_id, question=question, asked_at=at)
            for case_id, question, at in cursor.fetchall()
        ]


def _is_checked(filter: CaseFilter, hidden_actors: Collection[str]) -> bool:
    given = [name for name in filter.__struct_fields__ if getattr(filter, name) is not None]
    driving = next((name for name in _DRIVING if name in given), None)
    return bool(hidden_actors) or any(name != driving for name in given)


def _case(row: Mapping[str, Any]) -> CaseView:
    verdict = row["verdict"]
    values = {name: row[name] for name in CaseView.__struct_fields__}
    return CaseView(
        **values
        | {
            "level": Level(row["level"]),
            "state": CaseState(row["state"]),
            "verdict": None if verdict is None else Verdict(verdict),
        }
    )


def _entry(row: Mapping[str, Any]) -> CaseEntry:
    body: Mapping[str, Any] = row["body"]
    person: Mapping[str, Any] = next((body[name] for name in _PERSONS if body.get(name)), {})
    verdict, alert = body.get("verdict"), body.get("alert")
    return CaseEntry(
        **{
            name: row[name]
            for name in ("position", "at", "recorded_at", "kind", "by_kind", "by_id", "by_name")
        },
        text=next((body[name] for name in _TEXTS if body.get(name)), None),
        person=person.get("id"),
        person_name=person.get("name"),
        verdict=None if verdict is None else Verdict(verdict),
        seconds=body.get("seconds"),
        alert_id=None if alert is None else alert["id"],
    )
