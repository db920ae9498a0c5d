"""Which roles people have, and when they last used them: a fold over the events of the log. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from detection.reviews.reading import Staff
from domain.event import Outcome, RecordedEvent
from interop.ocsf.objects import managed_account, roles_before_and_after

USES = frozenset({"user.logged_in", "session.started", "privilege.used", "emergency_access.started"})
"""Types of events that say that somebody used an account."""
_CHANGED = "role.changed"
NOT_NAMED = "not named by the event"
"""Stands for the roles of an event that does not name them."""


class Grant(NamedTuple):
    """A role that somebody has. `granted` is the event that gave it."""

    role: str
    granted: int
    granted_at: datetime


class Account:
    """What the log says about one account."""

    def __init__(self) -> None:
        self.roles: dict[str, Grant] = {}
        self.last_use: tuple[int, datetime] | None = None
        self.last_log_in: tuple[int, datetime] | None = None


class Accounts:
    """All accounts, by the id of their person. Apply events in the order of the log."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff
        self._found: dict[str, Account] = {}

    def apply(self, recorded: RecordedEvent) -> None:
        """Take an event into account. Failed ones change nothing."""
        event = recorded.event
        if event.outcome is not Outcome.SUCCESS:
            return
        if event.type == _CHANGED:
            self._change(recorded)
        elif event.type in USES and event.actor.id is not None:
            account = self.of(event.actor.id)
            account.last_use = recorded.position, recorded.recorded_at
            if event.type in {"user.logged_in", "session.started"}:
                account.last_log_in = account.last_use

    def of(self, id: str) -> Account:
        """The account of a person."""
        return self._found.setdefault(self._staff.person(id), Account())

    def by_person(self) -> list[tuple[str, Account]]:
        """All accounts, and those of people who are in the table of staff alone, by id."""
        for row in self._staff.people():
            self.of(row.id)
        return sorted(self._found.items())

    def _change(self, recorded: RecordedEvent) -> None:
        about = managed_account(recorded.event)
        if about is None:
            return
        account = self.of(about)
        before, after = roles_before_and_after(recorded.event)
        for role in set(before) - set(after):
            account.roles.pop(role, None)
        for role in after or ([] if before else [NOT_NAMED]):
            account.roles.setdefault(role, Grant(role, recorded.position, recorded.recorded_at))


def why_dormant(id: str, account: Account, staff: Staff, now: datetime, rests: timedelta) -> str | None:
    """Why an account is dormant, in words; None when it is not."""
    row = staff.row(id)
    if row is not None and (not row.active or (row.active_until is not None and row.active_until < now)):
        left = "" if row.active_until is None else f" on {row.active_until:%Y-%m-%d}"
        return f"the person has left{left}" if account.roles or account.last_use else None
    if account.last_use is None:
        granted = [grant.granted_at for grant in account.roles.values()]
        if granted and min(granted) > now - rests:
            return None
        return "never used, as far as the log goes" if granted or (row is not None and row.roles) else None
    if account.last_use[1] <= now - rests:
        return f"not used since {account.last_use[1]:%Y-%m-%d}"
    return None
