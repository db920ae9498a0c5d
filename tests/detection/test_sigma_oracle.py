"""Random rules and events: pySigma's SQLite backend finds the same.

SQLite folds ASCII letters alone, and its tables have one value for a field, so the values here are such. Its REGEXP is
Python's `re`. Numbers are compared with columns of numbers.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

from detection.rules.event_fields import event_field, text_of
from domain.event import RecordedEvent
from tests.detection.small_logs import A, B, C, D, correlation, event, firings, rule, rules

_TEXTS = st.text("aAbB*?\\%_[]^ .", max_size=5)
_PLAIN = st.text("aAbB%_[]^ .", min_size=1, max_size=4)
_OUTCOMES = ["success", "minor_failure", "serious_failure"]
_ACTIONS = ["C", "R", "U"]
_FIELDS = {"reason": "TEXT", "session": "TEXT", "client.address": "TEXT", "request.status": "INTEGER"}
_KINDS = ["text", "many", "all", "re", "number", "order", "cidr", "null", "exists", "fieldref", "hour", "few"]
_COLUMNS = {**_FIELDS, "type": "TEXT", "actor.id": "TEXT", "occurred_at": "TEXT", "attributes.ward": "TEXT"}
_COLUMNS |= {"outcome": "TEXT", "action": "TEXT"}
"""Of these, rules are decided in advance."""


@st.composite
def _lines(draw: st.DrawFn) -> tuple[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one for each kind
    """One line of a selection."""
    field = draw(st.sampled_from(["reason", "session", "attributes.ward"]))
    place = draw(st.sampled_from(["", "|contains", "|startswith", "|endswith"]))
    cased = draw(st.sampled_from(["", "", "|cased"]))
    kind = draw(st.sampled_from(_KINDS))
    match kind:
        case "text":
            return f"{field}{place}{cased}", draw(_TEXTS if place == "" else _TEXTS.filter(bool))
        case "many":
            return f"{field}{place}{cased}", draw(st.lists(_TEXTS.filter(bool), min_size=1, max_size=3))
        case "all":
            return f"{field}|contains|all", draw(st.lists(_PLAIN, min_size=2, max_size=3, unique=True))
        case "re":
            flag = draw(st.sampled_from(["", "|i"]))
            return f"{field}|re{flag}", draw(
                st.sampled_from(["a", "^a", "b$", "a.b", "[ab]+B", "(a|b){2}", "^.?$"])
            )
        case "number":
            return "request.status", draw(st.sampled_from([200, 404, 500]))
        case "order":
            return f"request.status|{draw(st.sampled_from(['lt', 'lte', 'gt', 'gte']))}", 404
        case "cidr":
            return "client.address|cidr", draw(
                st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/23", "10.1.2.3/32"])
            )
        case "null":
            return draw(st.sampled_from(list(_FIELDS))), None
        case "exists":
            return f"{draw(st.sampled_from(list(_FIELDS)))}|exists", draw(st.booleans())
        case "few":
            name, words = draw(st.sampled_from([("outcome", _OUTCOMES), ("action", _ACTIONS)]))
            if draw(st.booleans()):
                return name, draw(st.lists(st.sampled_from(words), min_size=1, max_size=2))
            return draw(
                st.sampled_from([("action|exists", True), ("action", None), ("outcome", "*_failure")])
            )
        case "hour":
            return "occurred_at|hour", draw(st.sampled_from([11, 12, 13]))
        case _:
            return "reason|fieldref", "session"


_SELECTION = st.one_of(
    st.lists(_lines(), min_size=1, max_size=2).map(dict),
    st.lists(_lines().map(lambda line: dict([line])), min_size=1, max_size=2),
)
_CONDITIONS = [
    "s1",
    "not s1",
    "s1 and s2 or s3",
    "s1 or s2 and not s3",
    "not (s1 or s2) and not s3",
    "1 of s*",
    "all of them",
    "1 of s1* or not all of s*",
]


@st.composite
def _detections(draw: st.DrawFn) -> dict[str, Any]:
    condition = draw(st.sampled_from(_CONDITIONS))
    named = (
        {"s1", "s2", "s3"}
        if "*" in condition or "them" in condition
        else set(re.findall("s[123]", condition))
    )
    return {**{name: draw(_SELECTION) for name in sorted(named)}, "condition": condition}


_VALUES = st.one_of(st.none(), _TEXTS.filter(bool))


@st.composite
def _events(draw: st.DrawFn, position: int) -> RecordedEvent:
    status = draw(st.sampled_from([None, 200, 404, 500]))
    address = draw(st.sampled_from([None, "10.0.0.1", "10.1.2.3", "10.1.3.4", "192.0.2.1"]))
    ward = draw(_VALUES)
    return event(
        position,
        occurred=draw(st.sampled_from([0, 3600, 7200])),
        reason=draw(st.one_of(_VALUES, st.just(""))),
        session=draw(_VALUES),
        outcome=draw(st.sampled_from(_OUTCOMES)),
        action=draw(st.sampled_from([None, *_ACTIONS])),
        client={"address": address},
        request={"status": status},
        attributes={} if ward is None else {"ward": ward},
    )


def _value(recorded: RecordedEvent, name: str) -> object:
    found = event_field(name).read(recorded)
    if not found:
        return None
    [value] = found
    return value if isinstance(value, int) else text_of(value)


def _in_sqlite(documents: Sequence[str], log: Sequence[RecordedEvent]) -> list[sqlite3.Row]:
    """The rows that the backend's last query finds in a table of the log."""
    backend: Any = sqliteBackend(  # type: ignore[no-untyped-call]
        timestamp_field="recorded_at", timestamp_format="unix", event_id_field="position"
    )
    query = backend.convert(SigmaCollection.from_yaml("\n---\n".join(documents)))[-1]
    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        database.create_function(
            "REGEXP", 2, lambda pattern, text: text is not None and bool(re.search(pattern, text))
        )
        columns = ", ".join(f"`{name}` {kind} COLLATE NOCASE" for name, kind in _COLUMNS.items())
        database.execute(f"CREATE TABLE logs (position INTEGER, recorded_at REAL, {columns})")
        for each in log:
            row = [each.position, each.recorded_at.timestamp(), *(_value(each, name) for name in _COLUMNS)]
            database.execute(f"INSERT INTO logs VALUES ({', '.join('?' * len(row))})", row)
        return database.execute(query).fetchall()


_MANY = settings(max_examples=300)
"""What differs is rare: a character to escape, an event at the edge of a window."""
_LOGS = st.integers(1, 8).flatmap(lambda size: st.tuples(*map(_events, range(size))))


@_MANY
@given(_detections(), _LOGS)
def test_random_rules_match_the_same_events(
    detection: Mapping[str, Any], log: tuple[RecordedEvent, ...]
) -> None:
    document = rule(detection)
    found = [each.positions[0] for each in firings(rules(document), log)]
    assert found == [row["position"] for row in _in_sqlite([document], log)]


_ORDERS = st.permutations(["one", "two", "three"]).flatmap(lambda names: st.sampled_from([names, names[:2]]))


@st.composite
def _correlations(draw: st.DrawFn) -> str:
    fields: dict[str, Any] = {"timespan": "10s", "group-by": ["actor.id"]}
    kind = draw(st.sampled_from(["event_count", "value_count", "temporal", "temporal_ordered"]))
    if kind.startswith("temporal"):
        return correlation(type=kind, rules=draw(_ORDERS), **fields)
    condition: dict[str, Any] = draw(st.sampled_from([{"gte": 2}, {"gte": 3}, {"gt": 1}, {"gte": 1}]))
    if kind == "value_count":
        condition = {"field": "session", **condition}
    return correlation(type=kind, rules=["one"], condition=condition, **fields)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.5, 1, 3, 9, 10, 11]),
        st.sampled_from(["user.login_failed", "user.logged_in", "user.logged_out"]),
        st.sampled_from(["ada", "grace"]),
        st.sampled_from(["s-1", "s-2", "s-3", None]),
    ),
    max_size=12,
)


@_MANY
@given(_correlations(), _STEPS)
def test_random_correlations_find_the_same_groups_at_the_same_time(
    correlated: str, steps: list[tuple[float, str, str, str | None]]
) -> None:
    log, now = [], 0.0
    for position, (step, type, actor, session) in enumerate(steps):
        now += step
        log.append(event(position, now, type=type, actor={"id": actor}, session=session))
    one = rule({"s": {"type": ["user.login_failed"]}, "condition": "s"}, A, name="one")
    two = rule({"s": {"type": "user.logged_in"}, "condition": "s"}, B, name="two")
    three = rule({"s": {"type": "user.logged_out"}, "condition": "s"}, D, name="three")
    documents = [one, two, three, correlated]
    ours: dict[str, float] = {}
    for each in firings(rules(*documents), log):
        if each.rule == C:
            ours.setdefault(f'{{"actor.id":"{each.group[0][1]}"}}', each.ends.timestamp())
    theirs: dict[str, float] = {}
    for row in _in_sqlite(documents, log):
        key = row["group_keys"]
        theirs[key] = min(theirs.get(key, row["occurrence_time"]), row["occurrence_time"])
    assert ours == theirs
