"""What the items of each kind of review are drawn from: candidates, in an order that follows from the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from detection.reviews.grants import Accounts, why_dormant
from detection.reviews.reading import LogReading, Pinned, Staff
from detection.reviews.sampling import Candidate, Population
from domain.event import RecordedEvent
from domain.reviews.commands import BeginReview, ReviewKind, Strata

Matches = Callable[[RecordedEvent], bool]
Matcher = Callable[[Mapping[str, Any]], Matches]
"""Makes a test of events from the conditions of a filter. Raises `RejectedError` for a wrong one."""


def population_of(
    body: BeginReview, log: LogReading, pinned: Pinned, span: tuple[int, int], staff: Staff, matcher: Matcher
) -> Population:
    """The candidates of a review over the positions of `span`."""
    match body.reviewed:
        case ReviewKind.EVENTS:
            matches = matcher(body.filter)
            return lambda: _events(log, span, body.strata, staff, matches)
        case ReviewKind.BREAK_GLASS:
            return lambda: _events(log, span, body.strata, staff, _begins_emergency)
        case ReviewKind.GRANTS | ReviewKind.DORMANT:
            accounts = Accounts(staff)
            for recorded in log.events(*span):
                accounts.apply(recorded)
            found = list(_accounts(body, accounts, staff, pinned))
            return lambda: found


def _begins_emergency(recorded: RecordedEvent) -> bool:
    return recorded.event.type == "emergency_access.started"


def _events(
    log: LogReading, span: tuple[int, int], strata: Strata, staff: Staff, matches: Matches
) -> Iterator[Candidate]:
    for recorded in log.events(*span):
        if matches(recorded):
            event = recorded.event
            actor = event.actor.id
            # No reason and no patient: those who may see the event read them there.
            what = f"{event.type} by {actor or 'nobody named'}"
            stratum = _stratum(strata, actor, event.type, staff)
            yield Candidate(str(recorded.position), stratum, actor, (recorded.position,), what)


def _accounts(body: BeginReview, accounts: Accounts, staff: Staff, pinned: Pinned) -> Iterator[Candidate]:
    rests = timedelta(days=body.dormant_days)
    for id, account in accounts.by_person():
        used, log_in = account.last_use, account.last_log_in
        last = () if used is None else (used[0],)
        if body.reviewed is ReviewKind.DORMANT:
            why = why_dormant(id, account, staff, pinned.signed_at, rests)
            if why is not None:
                positions = sorted({*last, *(grant.granted for grant in account.roles.values())})
                stratum = _stratum(body.strata, id, "account", staff)
                yield Candidate(id, stratum, id, tuple(positions)[-100:], f"account {id}: {why}")
            continue
        for grant in sorted(account.roles.values()):
            use = "never used" if used is None else f"last used {used[1]:%Y-%m-%d}"
            signed_in = "" if log_in is None else f", last sign-in {log_in[1]:%Y-%m-%d}"
            what = f"{id} has {grant.role} since {grant.granted_at:%Y-%m-%d}: account {use}{signed_in}"
            stratum = _stratum(body.strata, id, grant.role, staff)
            yield Candidate(f"{id}\n{grant.role}", stratum, id, (grant.granted, *last), what[:2000])


def _stratum(strata: Strata, actor: str | None, type: str, staff: Staff) -> str:
    match strata:
        case Strata.NONE:
            return ""
        case Strata.ACTOR:
            return actor or ""
        case Strata.DEPARTMENT:
            return staff.department(actor)
        case Strata.TYPE:
            return type
