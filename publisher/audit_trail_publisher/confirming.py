"""Wait until an event is sealed: ask the trail's API for the proof of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from uuid import UUID

from audit_trail_publisher.errors import DeniedError, NotConfirmedError, RejectedEventError, TransportError
from audit_trail_publisher.promises import Confirmation
from audit_trail_publisher.proofs import confirmation
from audit_trail_publisher.spool.spool import Spool
from audit_trail_publisher.transports.http import refusal
from audit_trail_publisher.transports.http_connection import HttpConnection

_FIRST = 0.02
_LONGEST = 0.5
"""Seconds between two requests for a proof: each is a read, which the trail records."""
_KEPT = 16
"""Connections that nobody uses now."""


class Confirmer:
    """Waits in the thread of the caller. Several threads may wait at once; `connect` makes a connection for each.

    `witnessed`: wait for a tree head that satisfies the log's witness policy, instead of the newest.
    """

    def __init__(self, spool: Spool, connect: Callable[[], HttpConnection], *, witnessed: bool) -> None:
        self._spool = spool
        self._connect = connect
        self._query = "" if witnessed else "?head=newest"
        self._idle: deque[HttpConnection] = deque()

    def wait(self, event_id: UUID, body: bytes, seconds: float) -> Confirmation:
        """The confirmation of an event that is in the spool. Raises what `Trail.confirmed` says."""
        until = time.monotonic() + seconds
        if not self._wait_for_relay(event_id, until):
            state = f"is in the spool, and was not sent within {seconds:g} s"
            raise NotConfirmedError(event_id, state, self._spool.status().last_error)
        why = self._spool.rejection(event_id)
        if why is not None:
            raise RejectedEventError(event_id, why.reason, why.field, why.message)
        pause, said = _FIRST, ""
        while time.monotonic() < until:
            try:
                proof = self._proof(event_id, until - time.monotonic())
            except DeniedError as exc:
                state = "was delivered, and its proof can't be read"
                raise NotConfirmedError(event_id, state, str(exc)) from exc
            except TransportError as exc:
                if time.monotonic() < until or not said:  # the last request has little time
                    said = str(exc)
            else:
                if proof is not None:
                    return confirmation(event_id, body, proof)
                said = "it is not visible yet"
            time.sleep(max(0.0, min(pause, until - time.monotonic())))
            pause = min(_LONGEST, pause * 1.5)
        state = f"was delivered, and was not confirmed within {seconds:g} s"
        raise NotConfirmedError(event_id, state, said)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def forget(self) -> None:
        """In a forked process: drop the connections of the parent."""
        self._idle = deque()

    def _wait_for_relay(self, event_id: UUID, until: float) -> bool:
        """Whether the event has left the spool in time."""
        while self._spool.is_pending(event_id):
            left = until - time.monotonic()
            if left <= 0:
                return False
            with self._spool.settled:
                self._spool.settled.wait(min(left, 0.1))
        return True

    def _proof(self, event_id: UUID, seconds: float) -> bytes | None:
        """The proof file; None while the event is not visible yet."""
        connection = self._idle.pop() if self._idle else self._connect()
        answer = connection.request("GET", f"/v1/events/{event_id}/proof{self._query}", seconds=seconds)
        if len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        if answer.status == 200:
            return answer.body
        if answer.status == 404:
            return None
        if answer.status == 403:
            raise DeniedError(
                "beside `publisher` the token needs the role `service_owner` for this source, or `auditor`:"
                f" {refusal(answer)}"
            )
        raise refusal(answer)
