"""Records sign-ins, sign-outs, failures and time-outs as events of the trail."""

from __future__ import annotations

from starlette.types import Scope

from domain.access.principal import Principal
from domain.errors import UnrecordedError
from domain.read_audit.sign_ins import SignIn, sign_in_event
from web.read_audit.access_record import AccessRecorder


class SignInRecord:
    """The record. Without a recorder, which is for tests only, nothing is recorded."""

    def __init__(self, recorder: AccessRecorder | None) -> None:
        self._recorder = recorder

    async def write(
        self, what: SignIn, principal: Principal | None, scope: Scope, *, reason: str | None = None
    ) -> bool:
        """Record it. Returns once it is durable; False if it could not be recorded."""
        if self._recorder is None:
            return True
        details = self._recorder.open(scope, principal).details(reason=reason)
        event = sign_in_event(what, principal, details, self._recorder.source)
        try:
            return await self._recorder.recording.keep([event])
        except UnrecordedError:
            return False
