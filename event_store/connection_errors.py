"""Why a connection to PostgreSQL failed: the server is away (retry), or a setting is wrong (stop).

libpq reports a failed connection without a SQLSTATE, so a table compares its messages, in English. A server that writes
another language is asked for the SQLSTATE (`refusal_codes`). What neither table has means retry, and the error shows
the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from domain.errors import ConfigurationError, UnavailableError
from event_store.refusal_codes import is_from_server

AWAY = "the database is away"
NOT_CONNECTED = "can't connect to the database"
"""How the messages begin."""

_URL = "check the database URL"
_LOGIN = "check login and password in the database URL"
_CERTIFICATES = "check sslmode and the certificate files of the database URL"


class _Case(NamedTuple):
    """`text` is a pattern in libpq's message. `means` replaces the message, which can quote parts of the URL."""

    text: str
    means: str = ""
    hint: str = ""


_RETRY = (
    _Case("could not translate host name", "the name of its host can't be resolved", _URL),
    _Case("the database system is starting up", "it is starting"),
    _Case("the database system is not (yet )?accepting connections", "it is starting"),
    _Case("the database system is shutting down", "it is shutting down"),
    _Case("the database system is in recovery mode", "it recovers from a crash"),
    _Case("session is (not )?read-(only|write)|server is (not )?in hot standby mode"),
    _Case("is not currently accepting connections"),
    _Case("too many (connections|clients)|connection slots are reserved"),
    _Case("Connection refused", "the connection is refused"),
    _Case("timeout expired|timed out", "the connection timed out"),
    _Case("server closed the connection unexpectedly", "it closed the connection"),
)
"""A name that does not resolve is a retry: the name service may be away, and names of containers appear late."""
_STOP = (
    _Case("authentication failed|no password supplied|requires a password", hint=_LOGIN),
    _Case('role ".*" does not exist|is not permitted to log in', hint=_LOGIN),
    _Case('database ".*" does not exist|cannot connect to invalid database', hint=_URL),
    _Case("permission denied for database", hint="grant the login CONNECT on the database"),
    _Case("pg_hba.conf", hint="check pg_hba.conf of the server, and sslmode in the database URL"),
    _Case(
        "certificate|private key|[Rr]oot file|SSL (was|is) required|does not support SSL", hint=_CERTIFICATES
    ),
    _Case("SSL error|sslmode|channel binding|GSSAPI", hint=_CERTIFICATES),
    _Case(
        "received invalid response|expected authentication request",
        "the server there is not PostgreSQL",
        _URL,
    ),
    _Case(
        "invalid (port|integer|.* value)|could not match|is not an? (valid )?number|no host",
        "it is invalid",
        _URL,
    ),
    _Case("parameter", hint="check `options` in the database URL"),
)


_RETRY_CODES = {
    "57P03": _Case("", "it is starting, shutting down or recovering"),
    "53300": _Case("", "it has no connection left"),
}
_STOP_CODES = {
    "28P01": _Case("", hint=_LOGIN),
    "28000": _Case("", hint=f"{_LOGIN}, and pg_hba.conf of the server"),
    "3D000": _Case("", hint=_URL),
    "42501": _Case("", hint="grant the login CONNECT on the database"),
    "42704": _Case("", hint="check `options` in the database URL"),
    "22023": _Case("", hint="check `options` in the database URL"),
}
"""By SQLSTATE. The server's own text stands in the message."""


def connection_error(
    message: str, code: Callable[[], str | None] = lambda: None
) -> UnavailableError | ConfigurationError:
    """The error for a connection that failed with libpq's `message`.

    libpq tries the addresses of a host in turn; the last attempt decides. `code` asks for the server's SQLSTATE; it is
    called for a text of the server that is not in the tables.
    """
    attempt = message.rpartition("connection to server")[2]
    text = " ".join(attempt.rpartition("failed: ")[2].replace("FATAL: ", "").split())
    for case in _RETRY:
        if re.search(case.text, attempt):
            return UnavailableError(_sentence(AWAY, case, text))
    for case in _STOP:
        if re.search(case.text, attempt):
            return ConfigurationError(_sentence(NOT_CONNECTED, case, text))
    found = code() if is_from_server(attempt) else None
    text = text.rpartition(":  ")[2]
    if found in _STOP_CODES:
        return ConfigurationError(_sentence(NOT_CONNECTED, _STOP_CODES[found], text))
    return UnavailableError(_sentence(AWAY, _RETRY_CODES.get(found or "", _Case("")), text))


def _sentence(start: str, case: _Case, text: str) -> str:
    return ": ".join(part for part in (start, case.means or text, case.hint) if part)
