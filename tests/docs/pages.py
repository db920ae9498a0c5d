"""Reads the fences of a page, and says what a reader is meant to do with each.

A ``bash`` fence is run; one marked ``bash not-run`` needs what one machine does not have. A ``console`` fence is the
answer of the fence before it; ``...`` in it stands for any text. A ``graphql`` fence is a query.
"""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


def _fences(page: Path) -> Iterator[tuple[int, str, str]]:
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["text"]


def commands(page: Path) -> list[Command]:
    """The blocks that are run, in order, each with the answer that stands right after it."""
    found: list[Command] = []
    before = ""
    for line, info, text in _fences(page):
        if info == "bash":
            found.append(Command(line, text, ""))
        elif info == "console" and before == "bash":
            found[-1] = found[-1]._replace(answer=text)
        before = info
    return found


def queries(page: Path) -> list[tuple[int, str]]:
    """The GraphQL queries with the lines on which they begin."""
    return [(line, text) for line, info, text in _fences(page) if info == "graphql"]


def answers_as_shown(shown: str, got: str) -> bool:
    """Whether `got` is what the page shows; blanks and line ends don't count."""
    return doctest.OutputChecker().check_output(shown, got if got.endswith("\n") else got + "\n", _MATCHING)
