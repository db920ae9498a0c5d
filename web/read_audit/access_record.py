"""One request as the record of reads sees it: who asked how, what was read for it, and whether that is on record."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from domain.access.principal import Principal
from domain.errors import UnrecordedError
from domain.event import Source
from domain.read_audit.events import Look, Stage, Via, read_events
from domain.read_audit.query_log import Read, Reads
from web.read_audit.denials import Denials
from web.read_audit.publication import Recording

_STATE = "looking"
_CORRELATION = re.compile(r"[!-~]{1,128}")
"""A client's own id of its request, when it is one."""

_NAMED = re.compile(r"[\s,]*(?:query|subscription)\s+([_A-Za-z]\w*)", re.ASCII)


class Recorder:
    """The record of reads and of denied attempts, for one application."""

    def __init__(self, recording: Recording, source: Source) -> None:
        self.recording = recording
        self.source = source
        self.denials = Denials(recording, source)

    def looking(self, scope: Scope, principal: Principal | None = None) -> Looking:
        """What records one request or, of a connection, one operation. Who asks is in `scope` when it is not said."""
        return Looking(self, scope, via_of(scope), principal)

    def denied(self, scope: Scope, status: int, reason: str) -> None:
        """Put a 401 or 403 on record."""
        looking = looking_at(scope) or self.looking(scope)
        looking.denied(reason, status)

    async def close(self) -> None:
        """Put on record what waits."""
        self.denials.close()
        await self.recording.close()


class Looking:
    """The access record of one request, or of one operation of a connection.

    `flagged`: something was answered that is not on record; `streams`: each result is recorded by itself;
    `refused_parts`: the parts of an answer that were refused.
    """

    def __init__(self, recorder: Recorder, scope: Scope, via: Via, principal: Principal | None) -> None:
        self.reads = Reads()
        self.flagged = False
        self.refused = False
        self.refused_parts: list[str] = []
        self.streams = False
        self.via = via
        self._recorder = recorder
        self._principal = principal
        self._scope = scope
        self._headers = Headers(scope=scope)
        self._began = time.perf_counter()
        self._operation: str | None = None
        self._document: str | None = None
        given = self._headers.get("x-request-id", "")
        self.correlation_id = given if _CORRELATION.fullmatch(given) else str(uuid4())

    @property
    def principal(self) -> Principal | None:
        """Who asks; None when nobody was asked to say so."""
        found: Principal | None = self._principal or self._scope.get("state", {}).get("principal")
        return found

    def asks(self, *documents: tuple[str | None, str | None]) -> None:
        """The GraphQL documents that are executed, each with the name of its operation."""
        names = (name or _name_of(text or "") for text, name in documents)
        self._operation = ", ".join(name for name in names if name) or None
        texts = [(text or "").encode("utf-8", "replace") for text, _ in documents]
        digests = dict.fromkeys(sha256(text).hexdigest() for text in texts)
        self._document = ", ".join(digests) or None

    async def keep(self, status: int | None = None, stage: Stage | None = None) -> bool:
        """Return when what was read up to now is on record, or the setting says that nobody waits for that.

        False when it is not, and the answer is to be flagged. Raises `UnrecordedError` when there must be no answer.
        """
        questions, patients = taken = self.reads.take()
        if not questions or (self.via is Via.SUBSCRIPTION and taken.only_echoes):
            return True
        return await self.say(questions, patients, status=status, stage=stage)

    async def say(
        self,
        questions: Sequence[Read],
        patients: Sequence[str] = (),
        *,
        status: int | None = None,
        stage: Stage | None = None,
        reason: str | None = None,
    ) -> bool:
        """As `keep`, of what is said here."""
        recording = self._recorder.recording
        events = read_events(
            self.principal,
            questions,
            patients,
            self.look(status=status, stage=stage, reason=reason),
            self._recorder.source,
            max_bytes=recording.settings.max_bytes,
        )
        try:
            kept = await recording.keep(events)
        except UnrecordedError:
            self.refused = True
            raise
        self.flagged = self.flagged or not kept
        return kept

    async def began(self, operation: str, asked: Mapping[str, Any]) -> None:
        """A subscription begins. Raises `UnrecordedError` when it must not."""
        self.via = Via.SUBSCRIPTION
        await self.say([Read(operation, asked, 0)], stage=Stage.STARTED)

    def passed(self) -> None:
        """What was read is not told to anybody."""
        self.reads.take()

    def tell_refused(self, status: int | None = None) -> None:
        """Put the parts of an answer that were refused on record, as one attempt."""
        parts, self.refused_parts = dict.fromkeys(self.refused_parts), []
        # An answer that failed otherwise tells nothing of a part that was refused beside.
        if parts or (self.via is Via.GRAPHQL and self.reads.refused):
            self.denied(f"not allowed: {', '.join(parts) or 'a part of what failed'}", status)

    def denied(self, reason: str, status: int | None = None) -> None:
        """What was asked, or a part of it, was refused for want of rights."""
        look = self.look(status=status, reason=reason)
        self._recorder.denials.note(self.principal, look, self.reads.take_refused())

    def look(
        self, *, status: int | None = None, stage: Stage | None = None, reason: str | None = None
    ) -> Look:
        """How was asked, as of now."""
        client = self._scope.get("client")
        return Look(
            via=self.via,
            address=self._scope["path"],
            correlation_id=self.correlation_id,
            at=datetime.now(UTC),
            method=self._scope.get("method"),
            path=self._scope["path"],
            status=status,
            duration_ms=(time.perf_counter() - self._began) * 1000,
            client_address=client[0] if client else None,
            user_agent=self._headers.get("user-agent"),
            operation=self._operation,
            document=self._document,
            stage=stage,
            reason=reason,
        )


def looking_at(connection: Scope | HTTPConnection) -> Looking | None:
    """What records this request; None where reads are not recorded, and of a connection with several operations."""
    scope = connection.scope if isinstance(connection, HTTPConnection) else connection
    found: Looking | None = scope.get("state", {}).get(_STATE)
    return found


def look_at(scope: Scope, looking: Looking) -> None:
    """Have `looking_at` find it."""
    scope.setdefault("state", {})[_STATE] = looking


def look_away(scope: Scope) -> None:
    """Have nobody find it any more. A request and what records it hold each other, and an answer with them."""
    scope.get("state", {}).pop(_STATE, None)


def _name_of(text: str) -> str | None:
    """The name of the first operation, when the document begins with one that has a name."""
    found = _NAMED.match(text)
    return found[1] if found else None


def via_of(scope: Scope) -> Via:
    """The way in that a path is."""
    path: str = scope["path"]
    if path == "/graphql":
        return Via.GRAPHQL
    return Via.EXPORT if path.startswith("/v1/export") else Via.REST
