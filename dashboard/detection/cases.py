"""The work list of cases: the viewer's own, the open ones, those that wait for an answer, and the decided ones."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar
from urllib.parse import urlencode

from msgspec import Struct

from dashboard.detection.words import LEVELS, CaseRow, Chosen, case_row
from dashboard.render import View
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from queries.cursors import encode_place_cursor
from queries.detection.results import CaseFilter, CasePage, CaseState
from queries.scoped.read_models import ScopedModels

PATH = "/cases"
PAGE = 50
CASES = "k"
"""The kind of the list in its cursors."""


class WorkList(Struct, frozen=True):
    """One of the lists. `mine`: only cases that the viewer works on."""

    text: str
    nothing: str
    state: CaseState | None = None
    asked: bool | None = None
    mine: bool = False


LISTS = {
    "mine": WorkList("Mine", "You work on no open case.", CaseState.OPEN, mine=True),
    "open": WorkList("Open", "No case is open.", CaseState.OPEN),
    "asked": WorkList(
        "Waiting for an answer", "No employee has a question to answer.", CaseState.OPEN, asked=True
    ),
    "decided": WorkList("Decided", "No case is decided.", CaseState.DECIDED),
    "all": WorkList("All", "There is no case."),
}
USUAL = "open"
_COUNTED = 100
"""Open cases that the overview counts."""


class CaseList(View, frozen=True, kw_only=True):
    """The page."""

    template: ClassVar[str] = "cases.html"
    lists: list[Chosen]
    chosen: str
    actor: str
    nothing: str
    rows: list[CaseRow]
    newer: str
    older: str
    as_of_position: int


class OpenCases(Struct, frozen=True):
    """How many cases are open, and how many of them by level, the most serious first; `more`: there are others."""

    count: int
    more: bool
    levels: list[tuple[str, int]]
    link: str


def open_cases(models: ScopedModels, viewer: Viewer) -> OpenCases | None:
    """The open cases, of the newest ones; None for who may not see them, and where nothing detects."""
    if not viewer.may(Operation.READ_CASES):
        return None
    page = models.cases(CaseFilter(state=CaseState.OPEN), _COUNTED)
    if page.as_of_position < 0:
        return None
    counts = Counter(each.level.value for each in page.cases)
    levels = [(level, counts[level]) for level in LEVELS if counts[level]]
    return OpenCases(len(page.cases), page.next is not None, levels, _address("open", ""))


def filter_of(name: str, actor: str, viewer: Viewer) -> CaseFilter:
    """The conditions of one of the lists."""
    chosen = LISTS[name]
    return CaseFilter(
        state=chosen.state,
        asked=chosen.asked,
        actor=actor or None,
        assignee=viewer.principal.id if chosen.mine else None,
    )


def case_list(page: CasePage, viewer: Viewer, name: str, actor: str, *, older: bool) -> CaseList:
    """The list of one page."""
    return CaseList(
        viewer=viewer,
        title="Cases",
        lists=[Chosen(each.text, _address(key, actor), key == name) for key, each in LISTS.items()],
        chosen=name,
        actor=actor,
        nothing=LISTS[name].nothing,
        rows=[case_row(each, viewer) for each in page.cases],
        newer=_address(name, actor) if older else "",
        older="" if page.next is None else _address(name, actor, encode_place_cursor(CASES, page.next)),
        as_of_position=page.as_of_position,
    )


def _address(name: str, actor: str, after: str = "") -> str:
    given = {"list": name, "actor": actor, "after": after}
    return f"{PATH}?{urlencode([(name, value) for name, value in given.items() if value])}"
