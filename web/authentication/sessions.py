"""Sessions of the dashboard: an encrypted cookie, so that every process with the same key knows them.

The cookie holds the principal of the token that the sign-in brought, never the token. It is `HttpOnly` and
`SameSite=Lax`. Over https its name begins with `__Host-` (RFC 6265bis, section 4.1.3.2), so that no other host of the
domain can set it. Over http it exists on the machine's own addresses only.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import zlib
from collections.abc import Callable
from enum import StrEnum
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from cachetools import TTLCache
from cryptography.fernet import Fernet, InvalidToken
from msgspec import Struct
from msgspec.structs import replace
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from domain.access.principal import Principal
from domain.errors import UnauthenticatedError

NAME = "audit-trail-session"
_HOST = "__Host-"
MOST_BYTES = 3_900
"""Browsers keep 4,096 bytes of a cookie with its name and attributes."""
_RENEW_SECONDS = 60.0
"""The cookie is written again when its last use is longer ago."""
_REMEMBERED = 100_000
"""Ended sessions that a process remembers."""
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Ended(StrEnum):
    """Why a session ended."""

    IDLE = "the session was not used for too long"
    OLD = "the session has reached its longest time"
    EXPIRED = "the token of the sign-in has expired"
    SIGNED_OUT = "the session was signed out"


class SessionEndedError(UnauthenticatedError):
    """The session of a cookie has ended; `session` says whose it was."""

    def __init__(self, why: Ended, session: Session) -> None:
        super().__init__(f"{why.value}: sign in again")
        self.why = why
        self.session = session


class Session(Struct, frozen=True, kw_only=True):
    """A session. `principal.session` is its id. Times are seconds since 1970."""

    principal: Principal
    began: float
    used: float


class SessionTimes(NamedTuple):
    """In seconds: how long a session may be unused, and how long it may last."""

    idle: float
    longest: float


class Sealing:
    """Text that only processes with the secret can read or make. That of another audience is not readable."""

    def __init__(self, secret: bytes, audience: str) -> None:
        key = hashlib.sha256(b"audit-trail %s\0%s" % (audience.encode(), secret)).digest()
        self._cipher = Fernet(base64.urlsafe_b64encode(key))

    def encrypt(self, data: bytes) -> str:
        """The text for `data`."""
        return self._cipher.encrypt(zlib.compress(data)).decode()

    def decrypt(self, text: str, seconds: int | None = None) -> bytes | None:
        """What `encrypt` got, at most `seconds` ago; None for any other text."""
        if len(text) > MOST_BYTES or not text.isascii():
            return None
        try:
            return zlib.decompress(self._cipher.decrypt(text.encode(), seconds))
        except (InvalidToken, zlib.error):
            return None


class Sessions:
    """Makes and reads the cookies. `key` is any secret text of 32 characters or more; None makes one at random.

    `lasting`: the key is that of the settings, so that what is encrypted outlives the process.
    """

    def __init__(
        self, key: str | None, times: SessionTimes, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._secret = secrets.token_bytes(32) if key is None else key.encode()
        self._sealing = self.sealing("session")
        self.lasting = key is not None
        self._times = times
        self._clock = clock
        self._ended: TTLCache[str, bool] = TTLCache(_REMEMBERED, times.longest, timer=clock)

    def begin(self, principal: Principal) -> Session:
        """A new session. Its id becomes the session of the principal, and so of each access record."""
        now = self._clock()
        return Session(principal=replace(principal, session=secrets.token_hex(16)), began=now, used=now)

    def seal(self, session: Session) -> str:
        """The value of the cookie. Raises `UnauthenticatedError` when the claims of the token do not fit into one."""
        try:
            text = self.encrypt(msgspec.json.encode(session))
        except UnicodeEncodeError as exc:
            raise UnauthenticatedError("the token has a claim that is no text") from exc
        if len(text) > MOST_BYTES:
            raise UnauthenticatedError(
                "the token has more claims than fit into a session: give it fewer patients, actors or devices"
            )
        return text

    def of(self, scope: Scope) -> Session | None:
        """The session of a request; None without a readable cookie. Raises `SessionEndedError`."""
        sealed = cookie_of(scope, NAME)
        data = None if sealed is None else self.decrypt(sealed)
        if data is None:
            return None
        try:
            session = msgspec.json.decode(data, type=Session)
        except msgspec.ValidationError:
            return None  # a cookie of another purpose
        self.check(session)
        if self._clock() - session.used >= self._times.idle:
            raise SessionEndedError(Ended.IDLE, session)
        return session

    def check(self, session: Session) -> Principal:
        """The principal of a session in use. Raises `SessionEndedError` once it has ended."""
        why = self._ended_because(session)
        if why is not None:
            raise SessionEndedError(why, session)
        return session.principal

    def renewed(self, session: Session) -> Session | None:
        """The session with its last use, if the cookie should be written again."""
        now = self._clock()
        return replace(session, used=now) if now - session.used > _RENEW_SECONDS else None

    def end(self, session: Session) -> bool:
        """End a session for this process. False if it had ended already."""
        id = session.principal.session or ""
        new = id not in self._ended
        self._ended[id] = True
        return new

    def encrypt(self, data: bytes) -> str:
        """Text that only processes with the key can read or make."""
        return self._sealing.encrypt(data)

    def decrypt(self, text: str, seconds: int | None = None) -> bytes | None:
        """What `encrypt` got, at most `seconds` ago; None for any other text."""
        return self._sealing.decrypt(text, seconds)

    def sealing(self, audience: str) -> Sealing:
        """What encrypts for another purpose: a text of one is none of the other."""
        return Sealing(self._secret, audience)

    def has_ended(self, session: Session) -> bool:
        """Whether this process knows that the session was ended."""
        return session.principal.session in self._ended

    def _ended_because(self, session: Session) -> Ended | None:
        now, expires = self._clock(), session.principal.expires_at
        if self.has_ended(session):
            return Ended.SIGNED_OUT
        if expires is not None and now >= expires.timestamp():
            return Ended.EXPIRED
        return Ended.OLD if now - session.began >= self._times.longest else None


def cookie_of(scope: Scope, name: str) -> str | None:
    """The value of one of our cookies."""
    found = cookie_parser(Headers(scope=scope).get("cookie", ""))
    return found.get(cookie_name(scope, name))


def cookie_name(scope: Scope, name: str) -> str:
    """The name of a cookie on this connection."""
    return f"{_HOST}{name}" if scope["scheme"] in {"https", "wss"} else name


def is_safe_connection(scope: Scope) -> bool:
    """Whether a cookie may be used: over https, or from this machine to itself."""
    return scope["scheme"] == "https" or is_local(scope)


def is_local(scope: Scope) -> bool:
    """Whether a program on this machine asks, for a name or an address of this machine, and not through a proxy.

    The name counts too: a page of another site may let its own name point to this machine (DNS rebinding).
    """
    headers = Headers(scope=scope)
    if any(name in headers for name in _OF_PROXIES):
        return False
    client = scope.get("client")
    return is_local_name(headers.get("host", "")) and client is not None and _is_loopback(client[0])


def is_local_name(place: str) -> bool:
    """Whether a host, with or without a port, is a name or an address of this machine."""
    try:
        host = urlsplit(f"//{place}").hostname or ""
    except ValueError:
        return False
    return host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_request(scope: Scope, *, page: bool) -> bool:
    """Whether a request that a cookie authenticates was made by a page of this server, or by a person.

    Browsers say so themselves (Fetch Metadata, section 2): `same-origin`, or `none` for an address that was typed. A
    link on another site may open a page, and nothing of the API. Browsers without these headers send `Origin` with each
    request that changes something.
    """
    headers = Headers(scope=scope)
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    unsafe = scope["method"] in _UNSAFE
    if site is not None:
        opens = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return site == "same-origin" or (not unsafe and (site == "none" or (page and opens)))
    if not unsafe:
        return True
    return origin == f"{scope['scheme']}://{headers.get('host', '')}"
