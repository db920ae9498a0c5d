"""A projection of an analyst, on a trail of ten people and three days."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.projections.custom.analyst import project
from tests.trail import Trail, an_event

FILE = """
from projections.authoring import *
name = "visits"
version = {version}
tables = (
    Table("visits", ("actor_id", "day"), (
        Column("actor_id", Kind.TEXT),
        Column("day", Kind.TIMESTAMP),
        Column("events", Kind.BIGINT, SUM),
        Column("patients", Kind.TEXTS, UNION),
        Column("name", Kind.TEXT, latest("name_position"), nullable=True),
        Column("name_position", Kind.BIGINT, MAX, nullable=True),
    )),
    Table("visit_log", ("position",), (
        Column("position", Kind.BIGINT),
        Column("emergency", Kind.BOOLEAN),
        Column("weight", Kind.DOUBLE),
        Column("about", Kind.JSON, nullable=True),
    )),
)

def rows(events):
    visits = [
        (e.event.actor.id, e.event.occurred_at.replace(hour=0, minute=0), 1, [p.id for p in e.event.patients],
         e.event.actor.name, e.position if e.event.actor.name else None)
        for e in events if e.event.actor.id
    ]
    weight = lambda position: float("inf") if position == 1 else 0.5
    log = [(e.position, e.event.emergency, weight(e.position), {{"type": e.event.type}}) for e in events]
    return {{"visits": visits, "visit_log": log}}
"""
ROWS = "/v1/projections/visits/visits"
LOG = "/v1/projections/visits/visit_log"


def visits(url: str, folder: Path) -> Trail:
    """Sixty events, and the live projection of them."""
    trail = Trail(url)
    trail.given(
        *(
            an_event(
                minute=1440 * (number % 3),
                actor={"id": f"a{number % 10}", **({"name": f"Dr {number}"} if number % 2 else {})},
                patients=[{"id": f"p{number % 4}"}],
                emergency=number % 7 == 0,
            )
            for number in range(60)
        )
    )
    file = folder / "visits.py"
    file.write_text(FILE.format(version=1), encoding="utf-8")
    project(trail, file)
    return trail


def ask(client: httpx2.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/graphql", json={"query": query, "variables": variables}).json()
    return answer
