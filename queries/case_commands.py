"""Commands about cases and reviews, as `serve` gives them: checked, stored, and waited for. Every method blocks.

`database` answers from the primary: commands are written there, and a replica may be behind.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from domain.access.grants import ALL, Operation
from domain.access.principal import Principal
from domain.access.scope import Scope
from domain.cases.access import require_role
from domain.cases.commands import Body, check_body
from domain.errors import AccessDeniedError, ConflictError, Reason, UnavailableError
from domain.reviews.access import require_review_role
from domain.reviews.commands import BeginReview, ReviewBody, check_review_body
from event_store.case_commands import (
    CommandState,
    NewCommand,
    Outcome,
    Result,
    outcome_of,
    own_command,
    submit,
)
from event_store.database import Database
from queries.filters.json_filter import filter_from
from queries.scoped.query_description import parts_of
from queries.thread_pool import Threads

MAX_SECONDS = 30.0
"""The longest time that somebody waits for an outcome."""
_PAUSES = (0.02, 0.25)
"""Seconds between two looks for an outcome: the first, and the longest."""


class CaseCommands:
    """Gives commands for authenticated principals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, by: Principal, id: UUID, target: UUID, body: Body) -> None:
        """Store a command, once. `id` is the idempotency key, `target` the id of the case or suppression.

        Raises `AccessDeniedError` when no role of the principal allows it, `InvalidEventError` that names a wrong
        field, and `ConflictError` when the principal has too many open commands. What depends on the state of the case
        is decided when the command is carried out: see `wait`.
        """
        require_role(by, body)
        submit(self._database, NewCommand(id, target, check_body(body), by))

    def give_review(self, by: Principal, id: UUID, target: UUID, body: ReviewBody) -> None:
        """The same for a command about a review, whose id is `target`.

        Raises `RejectedError` for a wrong filter, and `AccessDeniedError` for one that asks for what is hidden from the
        principal: each item would say that an event matches.
        """
        require_review_role(by, body)
        checked = check_review_body(body)
        if isinstance(checked, BeginReview) and checked.filter:
            parts = parts_of(filter_from(checked.filter), ())
            if ALL not in Scope(by).rows(Operation.READ_EVENTS, parts):
                raise AccessDeniedError(Operation.READ_EVENTS)
        submit(self._database, NewCommand(id, target, checked, by))

    def wait(self, id: UUID, seconds: float) -> Outcome | None:
        """The end of a command; None if it has none after `seconds`, at most `MAX_SECONDS`."""
        until = time.monotonic() + min(seconds, MAX_SECONDS)
        pause, longest = _PAUSES
        while True:
            outcome = outcome_of(self._database, id)
            left = until - time.monotonic()
            if outcome is not None or left <= 0:
                return outcome
            time.sleep(min(pause, left))
            pause = min(2 * pause, longest)

    async def outcome_within(self, seconds: float, id: UUID, threads: Threads) -> Outcome | None:
        """As `wait`, for an event loop: no thread waits for the outcome."""
        until = asyncio.get_running_loop().time() + seconds
        pause, longest = _PAUSES
        while True:
            outcome = await threads.run(self.wait, id, 0)
            left = until - asyncio.get_running_loop().time()
            if outcome is not None or left <= 0:
                return outcome
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, longest)

    def own(self, by: Principal, id: UUID) -> CommandState | None:
        """A command that the principal has given; None when there is none."""
        return own_command(self._database, id, by.id)


def require_done(outcome: Outcome | None) -> int | None:
    """The position of the command's event. Raises what the answer to the person must be otherwise.

    `UnavailableError`: it has not been carried out yet, or a defect prevents it. `ConflictError`: the state of the case
    does not allow it. `AccessDeniedError`: the person may not do it.
    """
    if outcome is None:
        raise UnavailableError("the command is stored and waits for `ingest`: ask for its outcome later")
    error = outcome.error or ""
    match outcome.result:
        case Result.REFUSED:
            raise ConflictError(Reason.CONFLICT, error, field=outcome.field or "")
        case Result.DENIED:
            raise AccessDeniedError
        case Result.FAILED:
            raise UnavailableError(error)
        case Result.DONE:
            return outcome.position
