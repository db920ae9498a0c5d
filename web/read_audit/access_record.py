"""The access record of one request: who read what, through which interface, and whether it was recorded."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from domain.access.principal import Principal
from domain.errors import UnrecordedError
from domain.event import Source
from domain.read_audit.events import AccessDetails, Stage, Via, read_events
from domain.read_audit.query_log import LoggedQuery, QueryLog
from web.http.correlation import correlation_id, correlation_id_of
from web.http.page_paths import SHARED, is_of_dashboard
from web.read_audit.denials import Denials
from web.read_audit.publication import Recording

_STATE = "access_record"
_NAMED = re.compile(r"[\s,]*(?:query|subscription)\s+([_A-Za-z]\w*)", re.ASCII)


class AccessRecorder:
    """Opens the access records of one application, and publishes them with the denied attempts."""

    def __init__(self, recording: Recording, source: Source) -> None:
        self.recording = recording
        self.source = source
        self.denials = Denials(recording, source)

    def open(self, scope: Scope, principal: Principal | None = None) -> AccessRecord:
        """The record of one request or, on a connection, of one operation. The default principal is that of `scope`."""
        return AccessRecord(self, scope, via_of(scope), principal)

    def denied(self, scope: Scope, status: int, reason: str) -> None:
        """Record a 401 or 403."""
        record = access_record_of(scope) or self.open(scope)
        record.denied(reason, status)

    async def close(self) -> None:
        """Publish pending events."""
        self.denials.close()
        await self.recording.close()


class AccessRecord:
    """The access record of one request, or of one operation on a connection.

    `query_log`: what the request has read since the last `write`. `flagged`: a part of the answer was not recorded, and
    the answer says so. `withheld`: no answer may be sent, because it can't be recorded. `streams`: each result of a
    stream is recorded separately. `denied_parts`: the parts of an answer that were denied.
    """

    def __init__(self, recorder: AccessRecorder, scope: Scope, via: Via, principal: Principal | None) -> None:
        self.query_log = QueryLog()
        self.flagged = False
        self.withheld = False
        self.denied_parts: list[str] = []
        self.streams = False
        self.via = via
        self._recorder = recorder
        self._principal = principal
        self._scope = scope
        self._headers = Headers(scope=scope)
        self._began = time.perf_counter()
        self._operation: str | None = None
        self._document: str | None = None
        self.correlation_id = correlation_id_of(scope) or correlation_id(self._headers)

    @property
    def principal(self) -> Principal | None:
        """The principal; None on a route without authentication."""
        found: Principal | None = self._principal or self._scope.get("state", {}).get("principal")
        return found

    def set_documents(self, *documents: tuple[str | None, str | None]) -> None:
        """Set the GraphQL documents that are executed, each with the name of its operation."""
        names = (name or _name_of(text or "") for text, name in documents)
        self._operation = ", ".join(name for name in names if name) or None
        texts = [(text or "").encode("utf-8", "replace") for text, _ in documents]
        digests = dict.fromkeys(sha256(text).hexdigest() for text in texts)
        self._document = ", ".join(digests) or None

    async def write(self, status: int | None = None, stage: Stage | None = None) -> bool:
        """Record the queries since the last call. Returns when they are durable, unless the setting says not to wait.

        False: they were not recorded, and the answer must be flagged. Raises `UnrecordedError` when no answer may be
        sent.
        """
        queries, patients = taken = self.query_log.take()
        if not queries or (self.via is Via.SUBSCRIPTION and taken.only_echoes):
            return True
        return await self.write_queries(queries, patients, status=status, stage=stage)

    async def write_queries(
        self,
        queries: Sequence[LoggedQuery],
        patients: Sequence[str] = (),
        *,
        status: int | None = None,
        stage: Stage | None = None,
        reason: str | None = None,
    ) -> bool:
        """Record the given queries and disclosed patients, as `write` does."""
        recording = self._recorder.recording
        events = read_events(
            self.principal,
            queries,
            patients,
            self.details(status=status, stage=stage, reason=reason),
            self._recorder.source,
            max_bytes=recording.settings.max_bytes,
        )
        try:
            kept = await recording.keep(events)
        except UnrecordedError:
            self.withheld = True
            raise
        self.flagged = self.flagged or not kept
        return kept

    async def write_start(self, operation: str, parameters: Mapping[str, Any]) -> None:
        """Record that a subscription starts. Raises `UnrecordedError` when it must not start."""
        self.via = Via.SUBSCRIPTION
        await self.write_queries([LoggedQuery(operation, parameters, 0)], stage=Stage.STARTED)

    def discard(self) -> None:
        """Drop the queries since the last `write`: their answers are sent to nobody."""
        self.query_log.take()

    def write_denied_parts(self, status: int | None = None) -> None:
        """Record the denied parts of an answer, as one attempt."""
        parts, self.denied_parts = dict.fromkeys(self.denied_parts), []
        # An answer that failed for another reason has no error that names the denied part.
        if parts or (self.via is Via.GRAPHQL and self.query_log.has_denied):
            self.denied(f"not allowed: {', '.join(parts) or 'a part of what failed'}", status)

    def denied(self, reason: str, status: int | None = None) -> None:
        """Record that the request, or a part of it, was denied."""
        details = self.details(status=status, reason=reason)
        self._recorder.denials.add(self.principal, details, self.query_log.take_denied())

    def details(
        self, *, status: int | None = None, stage: Stage | None = None, reason: str | None = None
    ) -> AccessDetails:
        """The details of the request so far."""
        client = self._scope.get("client")
        return AccessDetails(
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


def access_record_of(connection: Scope | HTTPConnection) -> AccessRecord | None:
    """The access record of a request; None without a recorder, and on a WebSocket, whose operations have their own."""
    scope = connection.scope if isinstance(connection, HTTPConnection) else connection
    found: AccessRecord | None = scope.get("state", {}).get(_STATE)
    return found


def attach(scope: Scope, record: AccessRecord) -> None:
    """Let `access_record_of` find the record."""
    scope.setdefault("state", {})[_STATE] = record


def detach(scope: Scope) -> None:
    """Remove the record from the request: they refer to each other, and would keep the answer in memory."""
    scope.get("state", {}).pop(_STATE, None)


def _name_of(text: str) -> str | None:
    """The name of the first operation, if the document begins with a named one."""
    found = _NAMED.match(text)
    return found[1] if found else None


def via_of(scope: Scope) -> Via:
    """The interface behind a path."""
    path: str = scope["path"]
    if path == "/graphql":
        return Via.GRAPHQL
    if path == SHARED:
        return Via.LINK
    if is_of_dashboard(path):
        return Via.DASHBOARD
    return Via.EXPORT if path.startswith("/v1/export") else Via.REST
