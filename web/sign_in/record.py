"""Records sign-ins, sign-outs, failures and time-outs as events of the trail."""

from __future__ import annotations

from starlette.types import Scope

from domain.access.principal import Principal
from domain.errors import UnrecordedError
from domain.read_audit.sign_ins import SignIn, sign_in_event
from web.http.rate_limit import RateLimit
from web.read_audit.access_record import AccessRecorder

_FAILURES_A_MINUTE = 60


class SignInRecord:
    """The record. Without a recorder, which is for tests only, nothing is recorded.

    Anybody can fail: beyond some failures a minute, the next one that is recorded has the number of the others. They
    never take the room of reads.
    """

    def __init__(self, recorder: AccessRecorder | None) -> None:
        self._recorder = recorder
        self._failures = RateLimit(_FAILURES_A_MINUTE, _FAILURES_A_MINUTE)
        self._left_out = 0

    async def write(
        self, what: SignIn, principal: Principal, scope: Scope, *, reason: str | None = None
    ) -> bool:
        """Record it. True once it is durable, or may be missing by setting; False if it could not be recorded."""
        if self._recorder is None:
            return True
        details = self._recorder.open(scope, principal).details(reason=reason)
        event = sign_in_event(what, principal, details, self._recorder.source)
        try:
            await self._recorder.recording.keep([event])
        except UnrecordedError:
            return False
        return True

    def write_failure(self, scope: Scope, reason: str) -> None:
        """Record a failed sign-in soon."""
        if self._recorder is None:
            return
        if self._failures.take(""):
            self._left_out += 1
            return
        details = self._recorder.open(scope).details(reason=reason)
        event = sign_in_event(SignIn.FAILED, None, details, self._recorder.source)
        if self._left_out:
            event.attributes["left_out"] = self._left_out
            self._left_out = 0
        self._recorder.recording.later([event])
