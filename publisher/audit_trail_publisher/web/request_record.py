"""The event of one request: who called what, from where, and what came of it. Never a body, never a header's value.

What the middleware for ASGI, WSGI and Django share.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack

from msgspec import Struct
from msgspec.structs import replace

from audit_trail_publisher import event_text
from audit_trail_publisher.building import UNKNOWN_ACTOR
from audit_trail_publisher.context import bound, current_context, set_context
from audit_trail_publisher.errors import PublisherError, SpoolFullError
from audit_trail_publisher.generated.event import Client, Outcome, Request
from audit_trail_publisher.options import require_choice, several
from audit_trail_publisher.unkept import UnkeptError, remembered
from audit_trail_publisher.web.client_address import X_FORWARDED_FOR, TrustedProxies
from audit_trail_publisher.web.identity import Identity, IdentityLike, identity_of
from audit_trail_publisher.web.trace_context import TRACEPARENT, new_trace_id, trace_id

log = logging.getLogger(__name__)

CALLED = "api.called"
DENIED = "access.denied"
_DENIALS = frozenset({401, 403})
_MOST_WARNINGS = 100
RETRY_SECONDS = 5
"""`Retry-After` of a response that was refused because its event can't be kept."""

OnUnrecorded = Literal["refuse", "answer"]
R = TypeVar("R")
"""A request, as the framework has it: a scope, an environment, a Django request."""


class Arrival(Struct, frozen=True):
    """What a framework knows of a request. `values` returns the values of all headers with a lower-case name."""

    method: str
    path: str
    peer: str | None
    values: Callable[[str], Sequence[str]]


class RequestOptions(TypedDict, total=False):
    """What every middleware can be told.

    - `proxies`, `proxy_header`: see `TrustedProxies`.
    - `skip`: paths that are not recorded; ``/static/`` stands for all paths below.
    - `on_unrecorded`: what happens when the event can't be kept. `refuse`, the default, answers 503 instead of the
      response; `answer` sends the response, and logs an error.
    """

    proxies: Iterable[str]
    proxy_header: str
    skip: Collection[str]
    on_unrecorded: OnUnrecorded


class RequestAuditing(Generic[R]):
    """How requests are recorded; one object for each middleware.

    `actor` returns who made a request, from what the application has verified: claims, an `Actor`, a user's id, or
    None. It is called when the request comes, and when its response begins unless `identify` was called.
    """

    def __init__(self, actor: Callable[[R], IdentityLike], **options: Unpack[RequestOptions]) -> None:
        unknown = sorted(options.keys() - RequestOptions.__annotations__.keys())
        if unknown:
            raise TypeError(f"the middleware has no option {', '.join(unknown)}")
        on_unrecorded = options.get("on_unrecorded", "refuse")
        require_choice("on_unrecorded", on_unrecorded, OnUnrecorded)
        self.refuses = on_unrecorded == "refuse"
        self._actor = actor
        self._proxies = TrustedProxies(
            options.get("proxies", ()), options.get("proxy_header", X_FORWARDED_FOR)
        )
        self._paths = several(options.get("skip", ()))
        self._below = tuple(each for each in self._paths if each.endswith("/"))
        self._warned: set[str] = set()

    def skips(self, path: str) -> bool:
        """Whether requests of `path` are not recorded."""
        return path in self._paths or path.startswith(self._below)

    def open(self, request: R, arrival: Arrival) -> RequestRecord[R]:
        """The record of a request that has just come."""
        peer = self._proxies.client_address(arrival.peer, arrival.values(self._proxies.header))
        address = event_text.identifier(peer)
        agent = event_text.name(next(iter(arrival.values("user-agent")), None))
        return RequestRecord(
            self,
            request,
            Request(method=event_text.method(arrival.method), path=event_text.path(arrival.path)),
            Client(address=address, user_agent=agent) if address or agent else None,
            trace_id(arrival.values(TRACEPARENT)) or new_trace_id(),
        )

    def identify(self, request: R) -> Identity | None:
        """Who made `request`. A fault of the application's function must not cost the event."""
        try:
            return identity_of(self._actor(request))
        except Exception as exc:  # noqa: BLE001 - see above; the message may hold personal data
            log.error("the function for the actor of a request failed: %s", type(exc).__name__)  # noqa: TRY400
            return None

    def warn_of_missing_actor(self, request: Request) -> None:
        """Say once for each path that nobody is known to have made a request that was answered."""
        place = f"{request.method} {request.path}"
        if place not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(place)
            log.warning(
                "a request was answered, and its event names no actor: give the middleware `actor`, or call `identify`"
            )


class Failure(Struct, frozen=True):
    """Why there is no complete response. `reason` never quotes an exception: its text may be about a patient."""

    reason: str
    outcome: Outcome


def failed_with(exc: BaseException) -> Failure:
    """The application raised `exc`."""
    return Failure(type(exc).__name__, Outcome.SERIOUS_FAILURE)


CLIENT_LEFT = Failure("the client left before the response was complete", Outcome.MINOR_FAILURE)
NO_RESPONSE = Failure("the application ended without a response", Outcome.SERIOUS_FAILURE)
INCOMPLETE = Failure("the application ended before the response was complete", Outcome.SERIOUS_FAILURE)


class RequestRecord(Generic[R]):
    """One request. `identity` is who made it, once the application has said so."""

    def __init__(
        self,
        auditing: RequestAuditing[R],
        request: R,
        asked: Request,
        client: Client | None,
        correlation_id: str,
    ) -> None:
        self.identity: Identity | None = None
        self._unkept: list[UnkeptError] = []
        self._auditing = auditing
        self._request = request
        self._origin = {"client": client, "correlation_id": correlation_id}
        self._asked = asked
        self._began = time.perf_counter()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within the block this is the current request, and its events share what is known of it."""
        token, errors = _current.set(self), remembered.set(self._unkept)
        try:
            with bound(**self._shared()):
                yield
        finally:
            remembered.reset(errors)
            _current.reset(token)

    def enter(self) -> None:
        """Make this the current request of a context that was copied for it."""
        _current.set(self)
        remembered.set(self._unkept)
        set_context(replace(current_context(), **self._shared()))

    def event(
        self, status: int | None, failure: Failure | None = None, reason: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        """The type of the event, and its fields. `reason`: why there is such a status, if that is known."""
        identity = self._known()
        request = replace(self._asked, status=status, duration_ms=self._milliseconds())
        outcome = failure.outcome if failure else _outcome(status or 500)
        if failure is not None:
            reason = failure.reason
        elif outcome is not Outcome.SUCCESS:
            reason = reason or f"HTTP {status}"
        denied = status in _DENIALS
        if identity is None and outcome is Outcome.SUCCESS:
            self._auditing.warn_of_missing_actor(request)
        fields: dict[str, Any] = {
            "actor": UNKNOWN_ACTOR,
            **context_of(identity),
            **self._origin,
            "request": request,
            "outcome": outcome,
        }
        return DENIED if denied else CALLED, fields | ({"outcome_reason": reason} if reason else {})

    def unkept(self, status: int = 500) -> UnkeptError | None:
        """The error for which the client gets 503 instead of `status`: an event of the application was not kept.

        None when there is none, or when unrecorded responses are sent.
        """
        failed = self._auditing.refuses and status >= 500
        return self._unkept[0] if failed and self._unkept else None

    def _shared(self) -> dict[str, Any]:
        return context_of(self._known()) | self._origin | {"request": self._asked}

    def _known(self) -> Identity | None:
        return self.identity or self._auditing.identify(self._request)

    def _milliseconds(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 3)


_current: ContextVar[RequestRecord[Any] | None] = ContextVar("audit_trail_request", default=None)


def may_fit(exc: UnkeptError) -> bool:
    """Whether the event of the request itself may be kept, without waiting once more."""
    return isinstance(exc, SpoolFullError) and not exc.waited


def log_unrecorded(exc: PublisherError) -> None:
    """Say that the event of a request is missing."""
    log.error("the event of a request could not be recorded: %s", exc)


@contextmanager
def logged() -> Iterator[None]:
    """Log that an event can't be kept, where another exception goes on or the response has left."""
    try:
        yield
    except PublisherError as exc:
        log_unrecorded(exc)


def current_request() -> RequestRecord[Any] | None:
    """The request that is being answered; None without middleware."""
    return _current.get()


def identify(who: IdentityLike) -> None:
    """Say who made the current request, as soon as the application knows. All further events name this actor.

    `who` is an `Actor`, a user's id, or the claims of a token that was verified.
    """
    identity = identity_of(who)
    record = _current.get()
    if record is not None:
        record.identity = identity
    set_context(replace(current_context(), **({"actor": None, "session": None} | context_of(identity))))


def context_of(identity: Identity | None) -> dict[str, Any]:
    """The fields of a context that an identity gives."""
    if identity is None:
        return {}
    return {"actor": identity.actor} | ({"session": identity.session} if identity.session else {})


def _outcome(status: int) -> Outcome:
    if status < 400:
        return Outcome.SUCCESS
    return Outcome.MINOR_FAILURE if status < 500 else Outcome.SERIOUS_FAILURE
