"""The list of alerts, with its filters and the notice of new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from dashboard.detection.words import LEVELS, AlertRow, alert_row
from dashboard.render import View
from dashboard.viewer import Viewer
from queries.cursors import encode_place_cursor
from queries.detection.results import AlertPage, Handling, Place

PATH = "/alerts"
PAGE = 50
ALERTS = "a"
"""The kind of the list in its cursors."""
EMPTY = "none"
"""The newest alert of a list that had none."""


class AlertState(Struct, frozen=True):
    """A choice of the filter *State*, and its conditions."""

    text: str
    handling: Handling | None = None
    suppressed: bool | None = None


STATES = {
    "without_case": AlertState("in no case", Handling.NONE, suppressed=False),
    "open": AlertState("in an open case", Handling.OPEN),
    "decided": AlertState("decided", Handling.DECIDED),
    "suppressed": AlertState("suppressed", suppressed=True),
}


class AskedAlerts(Struct, frozen=True, kw_only=True):
    """The filter as the address has it. `after`: where an older page begins."""

    level: str = ""
    state: str = ""
    actor: str = ""
    rule: str = ""
    case: str = ""
    from_text: str = ""
    to_text: str = ""
    after: str = ""

    def address(self, **more: str) -> str:
        """The list with this filter, from its newest alert on."""
        given = {
            "level": self.level,
            "state": self.state,
            "actor": self.actor,
            "rule": self.rule,
            "case": self.case,
            "from": self.from_text,
            "to": self.to_text,
        } | more
        query = urlencode([(name, value) for name, value in given.items() if value])
        return f"{PATH}?{query}" if query else PATH


class FixedCondition(Struct, frozen=True, kw_only=True):
    """A condition that a link has set. `without` is the address of the list without it."""

    name: str
    value: str
    text: str
    title: str
    without: str


class AlertList(View, frozen=True, kw_only=True):
    """The list. `live` is the address of the part that says how many alerts came since; empty on older pages."""

    template: ClassVar[str] = "alerts.html"
    levels: list[str]
    states: list[tuple[str, str]]
    level: str
    state: str
    actor: str
    from_text: str
    to_text: str
    fixed: list[FixedCondition]
    rows: list[AlertRow]
    newer: str
    older: str
    live: str
    as_of_position: int


class AlertNews(View, frozen=True, kw_only=True):
    """How many alerts came since the list was made; `more`: there are others."""

    template: ClassVar[str] = "alerts_live.html"
    live_template: ClassVar[str] = "alerts_live.html"
    news: int
    more: bool
    first: str


def alert_list(page: AlertPage, viewer: Viewer, asked: AskedAlerts) -> AlertList:
    """The list of one page."""
    newest = _cursor(Place(page.alerts[0].position, page.alerts[0].alert_id)) if page.alerts else EMPTY
    follows = not asked.after and not asked.to_text
    return AlertList(
        viewer=viewer,
        title="Alerts",
        levels=LEVELS,
        states=[(name, each.text) for name, each in STATES.items()],
        level=asked.level,
        state=asked.state,
        actor=asked.actor,
        from_text=asked.from_text,
        to_text=asked.to_text,
        fixed=_fixed(page, asked),
        rows=[alert_row(each, viewer) for each in page.alerts],
        newer=asked.address() if asked.after else "",
        older="" if page.next is None else asked.address(after=_cursor(page.next)),
        live=asked.address(part="live", newest=newest) if follows else "",
        as_of_position=page.as_of_position,
    )


def alert_news(page: AlertPage, newest: Place | None, viewer: Viewer, asked: AskedAlerts) -> AlertNews:
    """How many alerts of the newest page are newer than `newest`."""
    news = sum(newest is None or (each.position, each.alert_id) > newest for each in page.alerts)
    return AlertNews(
        viewer=viewer,
        title="New alerts",
        news=news,
        more=news == len(page.alerts) and page.next is not None,
        first=asked.address(),
    )


def _cursor(place: Place) -> str:
    return encode_place_cursor(ALERTS, place)


def _fixed(page: AlertPage, asked: AskedAlerts) -> list[FixedCondition]:
    """The conditions that links set, and no field of the form."""
    titles = [each.title for each in page.alerts]
    conditions: Sequence[tuple[str, str, str, str, AskedAlerts]] = (
        (
            "rule",
            asked.rule,
            "Only alerts of the rule",
            titles[0] if titles else asked.rule,
            replace(asked, rule=""),
        ),
        ("case", asked.case, "Only alerts of the case", asked.case, replace(asked, case="")),
    )
    return [
        FixedCondition(name=name, value=value, text=text, title=title, without=other.address())
        for name, value, text, title, other in conditions
        if value
    ]
