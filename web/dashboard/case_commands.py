"""Forms that give commands about cases and reviews, once; the next page says what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from urllib.parse import urlencode
from uuid import UUID, uuid5

from starlette.requests import Request

from dashboard.detection.words import Said
from dashboard.viewer import Viewer
from domain.cases.commands import MAX_SECONDS, Body, CommandBody, Person, kind_of
from domain.errors import InvalidEventError, Reason, RejectedError
from domain.reviews.commands import ReviewBody
from event_store.case_commands import Outcome, Result
from queries.case_commands import CaseCommands, require_done
from queries.detection.read_models import PROJECTION
from queries.freshness import BehindError, Freshness, FreshnessWaiter, least_of
from web.access import query_log_of
from web.dashboard.host import Host
from web.read_audit.access_record import access_record_of

COMMAND = "command"
"""The field of each form with the id of its command, and the parameter of the page that says what became of it."""
_DIGITS = 9
_SECONDS = 5.0
"""How long a form waits for the outcome. A command that is not carried out by then goes on waiting without it."""


class CommandForms:
    """Gives the commands of forms."""

    def __init__(self, host: Host, commands: CaseCommands, waiting: FreshnessWaiter) -> None:
        self._threads = host.threads
        self._commands = commands
        self._waiting = waiting

    async def give(self, request: Request, viewer: Viewer, id: UUID, target: UUID, body: Body) -> str:
        """Give a command; the query for the page that follows. It is empty when that page shows what was done.

        Raises `RejectedError` for what the person can correct, `ConflictError` when the state does not allow it,
        `AccessDeniedError`, and `UnavailableError` when it can't be carried out now.
        """
        with _denials(request, "case_command", body, target):
            await self._threads.run(self._commands.give, viewer.principal, id, target, body)
            return await self._query_after(id)

    async def give_review(
        self, request: Request, viewer: Viewer, id: UUID, target: UUID, body: ReviewBody
    ) -> str:
        """The same for a command about a review."""
        with _denials(request, "review_command", body, target):
            await self._threads.run(self._commands.give_review, viewer.principal, id, target, body)
            return await self._query_after(id)

    async def said(self, request: Request, viewer: Viewer, as_of_position: int) -> Said | None:
        """What became of the viewer's command that the address names; None when the page shows it, or without one."""
        given = request.query_params.get(COMMAND)
        if given is None:
            return None
        command = await self._threads.run(self._commands.own, viewer.principal, _id_of(given))
        return None if command is None else _said(command.outcome, as_of_position)

    async def _query_after(self, id: UUID) -> str:
        outcome = await self._commands.outcome_within(_SECONDS, id, self._threads)
        position = None if outcome is None else require_done(outcome)
        if outcome is None or not (position is None or await self._is_shown(position)):
            return f"?{urlencode({COMMAND: str(id)})}"
        return ""

    async def _is_shown(self, position: int) -> bool:
        """Whether the pages have the event at this position, within a moment."""
        try:
            await self._waiting.until(Freshness(wait_for_position=position), least_of([PROJECTION]))
        except BehindError:
            return False
        return True


def _denials(request: Request, query: str, body: CommandBody, target: UUID) -> AbstractContextManager[None]:
    """Record a denied command."""
    asked = {"command": kind_of(body), "target": str(target)}
    return query_log_of(access_record_of(request)).record_denial(query, lambda: (asked, ()))


def _said(outcome: Outcome | None, as_of_position: int) -> Said | None:
    if outcome is None:
        return Said("This is stored and not done yet: `ingest` does it when it runs. Load this page again.")
    match outcome.result:
        case Result.DONE:
            shown = outcome.position is None or outcome.position <= as_of_position
            later = Said("This is recorded and appears here in a moment. Load this page again.")
            return None if shown else later
        case Result.DENIED:
            return Said("This was not done: you may not do it.", problem=True)
        case Result.REFUSED | Result.FAILED:
            return Said(f"This was not done: {outcome.error}.", problem=True)


def command_of(form: dict[str, str]) -> UUID:
    """The id of the command that a form gives. Raises `RejectedError` for a form that no page has made."""
    return _id_of(form.get(COMMAND, ""))


def target_of(command: UUID) -> UUID:
    """The id of what a command makes, a case or a suppression: the same one when the form is sent twice."""
    return uuid5(command, "target")


def text_of(form: dict[str, str], name: str) -> str:
    """A text of a form, with the line ends of the trail. Raises `InvalidEventError` for an empty one."""
    text = form.get(name, "").replace("\r\n", "\n").strip()
    if not text:
        raise InvalidEventError(Reason.MISSING_FIELD, "write at least one word", field=name)
    return text


def seconds_of(form: Mapping[str, str]) -> int | None:
    """For how long the page was looked at; None without JavaScript. Raises `InvalidEventError` for no number."""
    text = form.get("seconds", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidEventError(Reason.INVALID_FIELD, "not a number of seconds", field="seconds")
    return min(int(text), MAX_SECONDS)


def person_of(id: str, viewer: Viewer) -> Person:
    """The person whom a form names by id; of the viewer the name is known."""
    principal = viewer.principal
    return Person(id=id, kind=principal.kind, name=principal.name) if id == principal.id else Person(id=id)


def typed(form: Mapping[str, str], name: str) -> dict[str, str]:
    """The fields of a form as its page shows them again when it is refused."""
    return {f"{name}.{field}": text for field, text in form.items() if field != COMMAND}


def refusal(exc: RejectedError) -> Said:
    """What a page says of a form that was refused."""
    if exc.field and not exc.message.startswith(exc.field):
        return Said(
            f"This was not done. {exc.field.replace('_', ' ').capitalize()}: {exc.message}.", problem=True
        )
    return Said(f"This was not done: {exc.message}.", problem=True)


def _id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise RejectedError(Reason.INVALID_FIELD, "not the id of a command", field=COMMAND) from exc
