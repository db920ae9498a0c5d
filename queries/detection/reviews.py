"""Reviews, how far they are, and their items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from domain.reviews.commands import ReviewKind, ReviewVerdict, Strata
from event_store.database import Connection, named
from event_store.statements import load
from queries.detection.results import BEGIN, Place
from queries.detection.review_results import (
    MAX_STRATA,
    ReviewDetail,
    ReviewerProgress,
    ReviewFilter,
    ReviewItemFilter,
    ReviewItemPage,
    ReviewItemView,
    ReviewPage,
    ReviewReader,
    ReviewState,
    ReviewView,
    StratumProgress,
    VerdictCount,
)

_SQL = load(__package__, "reviews.sql")
WALK = 5000
"""Reviews that one page looks at: the rest of a list with rare matches is on the next pages."""


def find_reviews(
    connection: Connection,
    filter: ReviewFilter,
    limit: int,
    as_of: int,
    reader: ReviewReader,
    after: Place = BEGIN,
) -> ReviewPage:
    """A page of the reviews that match."""
    checked = reader.only_own or any(value is not None for value in msgspec.structs.astuple(filter))
    walk = WALK if checked else limit + 1
    values = _values(filter) | _of(reader) | {"position": after.position, "walk": walk, "limit": limit + 1}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["page"], values)
        rows = named(cursor)
    found = [_review(row) for row in rows if row["review_id"] is not None]
    shown = found[:limit]
    if len(found) > limit:
        return ReviewPage(shown, as_of, Place(shown[-1].begun_position, shown[-1].review_id))
    last = rows[0]
    more = last["looked_reviews"] == walk
    return ReviewPage(shown, as_of, Place(last["looked_position"], last["looked_id"]) if more else None)


def find_review(connection: Connection, id: str, as_of: int, reader: ReviewReader) -> ReviewDetail | None:
    """One review with its numbers; None when there is none for this reader."""
    values = _of(reader) | {"id": id}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["one"], values)
        rows = named(cursor)
        if not rows:
            return None
        row = rows[0]
        begun = msgspec.convert(row["plan"], _Begun)
        cursor.execute(_SQL["by_reviewer"], values)
        reviewers = [ReviewerProgress(**each) for each in named(cursor)]
        cursor.execute(_SQL["by_stratum"], values | {"limit": MAX_STRATA})
        strata = named(cursor)
        cursor.execute(_SQL["by_verdict"], values)
        verdicts = named(cursor)
    population = begun.plan.population
    return ReviewDetail(
        review=_review(row),
        filter=begun.filter,
        period_from=begun.period_from,
        period_until=begun.period_until,
        dormant_days=begun.dormant_days,
        sample_size=begun.sample_size,
        strata_by=begun.strata,
        seed=begun.plan.seed,
        first_position=begun.plan.first,
        end_position=begun.plan.end,
        staff_version=begun.plan.staff_version,
        candidates=sum(population.values()),
        reviewers=reviewers,
        strata=[
            StratumProgress(
                stratum=each["stratum"],
                candidates=population.get(each["stratum"], 0),
                items=each["items"],
                decided=each["decided"],
            )
            for each in strata
        ],
        strata_count=strata[0]["strata"] if strata else 0,
        verdicts=[
            VerdictCount(verdict=ReviewVerdict(each["verdict"]), items=each["items"]) for each in verdicts
        ],
        seconds=sum(each["seconds"] for each in verdicts),
        items_about_you=row["items_about_you"],
        as_of_position=as_of,
    )


def find_items(
    connection: Connection,
    id: str,
    filter: ReviewItemFilter,
    limit: int,
    as_of: int,
    reader: ReviewReader,
    after: int = 0,
) -> ReviewItemPage | None:
    """A page of the items that match; None when there is no such review for this reader."""
    if not _exists(connection, id, reader):
        return None
    values = _values(filter) | _of(reader) | {"id": id, "item": None, "after": after, "limit": limit + 1}
    with connection.cursor() as cursor:
        cursor.execute(_SQL["items"], values)
        found = [_item(row) for row in named(cursor)]
    shown = found[:limit]
    return ReviewItemPage(shown, as_of, shown[-1].item if len(found) > limit else None)


def find_item(connection: Connection, id: str, item: int, reader: ReviewReader) -> ReviewItemView | None:
    """One item; None when there is none for this reader."""
    if not _exists(connection, id, reader):
        return None
    values = (
        _values(ReviewItemFilter()) | _of(reader) | {"id": id, "item": item, "after": item - 1, "limit": 1}
    )
    with connection.cursor() as cursor:
        cursor.execute(_SQL["items"], values)
        rows = named(cursor)
    return _item(rows[0]) if rows else None


class _Plan(msgspec.Struct):
    seed: str
    first: int
    end: int
    staff_version: int | None
    population: dict[str, int]


class _Begun(msgspec.Struct):
    """What the event of the beginning says about the drawing."""

    filter: dict[str, Any]
    period_from: datetime | None
    period_until: datetime | None
    dormant_days: int
    sample_size: int
    strata: Strata
    plan: _Plan


def _exists(connection: Connection, id: str, reader: ReviewReader) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["exists"], _of(reader) | {"id": id})
        return bool(cursor.fetchall()[0][0])


def _values(filter: ReviewFilter | ReviewItemFilter) -> dict[str, Any]:
    return {name: msgspec.to_builtins(getattr(filter, name)) for name in filter.__struct_fields__}


def _of(reader: ReviewReader) -> dict[str, Any]:
    return {"own": list(reader.ids), "only_own": reader.only_own}


def _review(row: Mapping[str, Any]) -> ReviewView:
    values = {name: row[name] for name in ReviewView.__struct_fields__}
    return ReviewView(**values | {"kind": ReviewKind(row["kind"]), "state": ReviewState(row["state"])})


def _item(row: Mapping[str, Any]) -> ReviewItemView:
    verdict = row["verdict"]
    return ReviewItemView(**{**row, "verdict": None if verdict is None else ReviewVerdict(verdict)})
