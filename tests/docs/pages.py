"""Reads the fences of a page, and says what a reader is meant to do with each.

A ``bash`` fence is run; one marked ``bash not-run`` needs what one machine does not have. A ``console`` fence is the
answer of the fence before it; ``...`` in it stands for any text. A ``graphql`` fence is a query; a ``json`` fence after
it is the data of its answer, in which ``"..."`` stands for any value, or for more entries; ``json like`` shows the
shape.
"""

from __future__ import annotations

import doctest
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MATCHING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Command(NamedTuple):
    """A block of commands, the line on which it begins, and the answer that the page shows (empty: none)."""

    line: int
    script: str
    answer: str


def pages() -> list[Path]:
    """README, and all pages of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fences(page: Path) -> Iterator[tuple[int, str, str]]:
    """The fences: the line on which each begins, what stands behind its first three backticks, and its text."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["text"]


def commands(page: Path) -> list[Command]:
    """The blocks that are run, in order, each with the answer that stands right after it."""
    found: list[Command] = []
    before = ""
    for line, info, text in fences(page):
        if info == "bash":
            found.append(Command(line, text, ""))
        elif info == "console" and before == "bash":
            found[-1] = found[-1]._replace(answer=text)
        before = info
    return found


def queries(page: Path) -> list[tuple[int, str]]:
    """The GraphQL queries with the lines on which they begin."""
    return [(line, text) for line, info, text in fences(page) if info == "graphql"]


class Answer(NamedTuple):
    """A query, the line on which it begins, and the data of the answer that the page shows."""

    line: int
    query: str
    data: Any
    exact: bool


def answered_queries(page: Path) -> list[Answer]:
    """The GraphQL queries whose answer stands right after them."""
    found: list[Answer] = []
    question: tuple[int, str] | None = None
    for line, info, text in fences(page):
        if info in {"json", "json like"} and question is not None:
            found.append(Answer(*question, json.loads(text), info == "json"))
        question = (line, text) if info == "graphql" else None
    return found


def differs(shown: Any, got: Any, *, exact: bool, at: str = "data") -> str:
    """Where `got` is not what the page shows; empty when it is."""
    pairs: Iterable[tuple[Any, Any, str]] = ()
    if shown == ANY:
        return ""
    if isinstance(shown, dict) and isinstance(got, dict) and shown.keys() == got.keys():
        pairs = ((shown[key], got[key], f"{at}.{key}") for key in shown)
    elif isinstance(shown, list) and isinstance(got, list) and _as_many(shown, got, exact=exact):
        pairs = ((one, other, f"{at}[{i}]") for i, (one, other) in enumerate(zip(shown, got, strict=False)))
    elif shown != got and (exact or isinstance(shown, dict | list) or type(shown) is not type(got)):
        return f"{at} is {got!r}"
    return next(filter(None, (differs(one, other, exact=exact, at=place) for one, other, place in pairs)), "")


def _as_many(shown: list[Any], got: list[Any], *, exact: bool) -> bool:
    if not exact:
        return bool(got) or not shown
    return len(got) >= len(shown) - 1 if shown[-1:] == [ANY] else len(got) == len(shown)


ANY = "..."


def answers_as_shown(shown: str, got: str) -> bool:
    """Whether `got` is what the page shows; blanks and line ends don't count."""
    return doctest.OutputChecker().check_output(shown, got if got.endswith("\n") else got + "\n", _MATCHING)
