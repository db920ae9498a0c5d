"""No rule and no event makes the evaluation slow: time grows with the size of what is given, no faster."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from detection.evaluation.detector import Detector
from detection.rules.items import item
from detection.rules.rule_file import parse_rules
from domain.errors import ConfigurationError
from tests.detection.small_logs import correlation, event, failures, rule, rules
from tests.scaling import Hostile, assert_linear


def _matching(written: str, values: list[Any]) -> Any:
    return item(written, values, UTC).holds


def _text(size: int) -> Any:
    return event(reason="a" * min(size, 65_000))


MATCHING = [
    Hostile("nested repetition", _matching("reason|re", ["(a+)+$", "(a|a)*b"]), _text, 8000),
    Hostile("many wildcards", _matching("reason", ["*a*a*a*a*a*a*a*b"]), _text, 8000),
    Hostile("many question marks", _matching("reason", ["*" + "?" * 100 + "b"]), _text, 2000),
]


def _fed(*documents: str) -> Any:
    def work(log: Any) -> None:
        detector = Detector(rules(*documents))
        detector.feed(log)
        detector.closing()

    return work


def _read(text: Any) -> object:
    return parse_rules([("hostile.yaml", text)])


def _counting(extension: Any = None, **fields: Any) -> Any:
    count = {"type": "event_count", "rules": ["failures"], "timespan": "1h", "condition": {"gte": 5}}
    return _fed(failures(), correlation(extension=extension, **{**count, **fields}))


def _many_actors(size: int) -> Any:
    return [event(n, n / 100, actor={"id": f"user-{n}"}) for n in range(size)]


def _many_documents(size: int) -> str:
    ids = [f"00000000-0000-4000-8000-{n:012}" for n in range(size)]
    return "\n---\n".join(rule({"s": {"reason": "a"}, "condition": "s"}, id) for id in ids)


_BY_ACTOR = {"group-by": ["actor.id"]}
_LATE = {"time": "occurred_at", "lateness": "1h"}
_MANY_VALUES = _counting(type="value_count", condition={"field": "session", "gte": 100})
LOGS = [
    Hostile("one group", _counting(), lambda size: [event(n, n / 100) for n in range(size)], 500),
    Hostile("many groups", _counting(**_BY_ACTOR), _many_actors, 500),
    Hostile(
        "many groups decided late",
        _counting(condition={"lt": 3}, timespan="1s", **_BY_ACTOR),
        _many_actors,
        500,
    ),
    Hostile(
        "many distinct values",
        _MANY_VALUES,
        lambda size: [event(n, n, session=f"s-{n}") for n in range(size)],
        500,
    ),
    Hostile(
        "numbers that come from above, with gaps",
        _counting({"numbering": "source.sequence"}, condition={"gte": 1}),
        lambda size: [
            event(
                n, n / 100, source={"service": "s", "instance": "a", "sequence": 2 * (size - n) if n else 1}
            )
            for n in range(size)
        ],
        500,
    ),
    Hostile(
        "a baseline of many hours",
        _counting({"baseline": {"days": 300, "learning": "1d"}}),
        lambda size: [event(n, n * 1800) for n in range(size)],
        500,
    ),
    Hostile(
        "many values that are new",
        _counting(
            {"new_values": {"learning": "1s"}}, type="value_count", condition={"field": "session", "gte": 1}
        ),
        lambda size: [event(n, n, session=f"s-{n}") for n in range(size)],
        500,
    ),
    Hostile(
        "against the order of the log",
        _counting(_LATE),
        lambda size: [event(n, 1000, 1000 - n / 10) for n in range(size)],
        500,
    ),
]
FILES = [
    Hostile("many documents", _read, _many_documents, 6),
    Hostile(
        "many values",
        _read,
        lambda size: rule({"s": {"reason": [f"a*{n}*b" for n in range(size)]}, "condition": "s"}),
        100,
    ),
    Hostile("dividers alone", _read, lambda size: "---\n" * size, 8000),
    Hostile("not", _read, lambda size: rule({"s": {"reason": "a"}, "condition": "not " * size}), 60),
]


@pytest.mark.parametrize("case", [*MATCHING, *LOGS, *FILES], ids=str)
def test_time_grows_with_the_size_alone(case: Hostile) -> None:
    assert_linear(case, ConfigurationError)
