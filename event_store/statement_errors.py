"""Translate driver errors; no other module does.

A lost connection, a read-only server and a statement time-out become `UnavailableError`: retry. `connection_errors` has
the errors of connecting. Any other error becomes a `StatementError`, which is outside the tree of `domain.errors`: only
the caller knows whether a refused statement means reject, retry or stop, and raises an error of that tree. An uncaught
`StatementError` is a defect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import errors

from domain.errors import ConfigurationError, LockedError, TooSlowError, UnavailableError
from event_store.connection_errors import AWAY, connection_error
from event_store.refusal_codes import refusal_code
from event_store.silence.connections import SilentError

_DISK = "its disk is full"
_MEMORY = (
    "it is out of memory, or sessions hold all locks of its lock table"
    " (see pg_locks, and max_locks_per_transaction of PostgreSQL)"
)
_CONNECTIONS = "it has no connection left (see pg_stat_activity, and max_connections of PostgreSQL)"
_SHORTAGES = {"53100": _DISK, "53200": _MEMORY, "53300": _CONNECTIONS}
"""Exhausted resources of the server by SQLSTATE (class 53, insufficient resources)."""
_SHORTAGE_MESSAGES = {
    "out of shared memory": _MEMORY,
    "too many connections": _CONNECTIONS,
    "too many clients": _CONNECTIONS,
    "connection slots are reserved": _CONNECTIONS,
}
"""The same by the server's message, for errors without SQLSTATE."""
_READ_ONLY = "25006"
"""read_only_sql_transaction."""
_FEATURE = "0A000"
"""feature_not_supported."""
_LIMITS = "54"
"""The SQLSTATE class of program limits. The driver calls them operational, but a retry would always fail."""
_TEMPORARY_DISK = "53400"
"""configuration_limit_exceeded. In this program only temp_file_limit raises it."""


class StatementError(Exception):
    """The server refused a statement. The message never contains the server's text, which can quote values.

    `code` is the SQLSTATE, empty when the server sent none. `name` is the condition, such as ``UniqueViolation``.
    `server_message` is the server's primary message. `constraint` is the violated constraint. `character` is the
    position of the error in a statement that a function ran, counted from 1.
    """

    def __init__(self, error: psycopg2.Error) -> None:
        self.code = error.pgcode or ""
        self.name = type(error).__qualname__
        self.server_message = error.diag.message_primary or ""
        self.constraint = error.diag.constraint_name
        place = error.diag.internal_position
        self.character = None if place is None else int(place)
        super().__init__(f"the database refuses a statement: {self.name} (SQLSTATE {self.code or 'unknown'})")


class DuplicateRowError(StatementError):
    """A row with this key exists already."""


class DuplicateNameError(StatementError):
    """An object of this name exists already."""


class MissingTableError(StatementError):
    """A table or its schema does not exist."""


class MissingRightError(StatementError):
    """The role may not do this."""


class LimitExceededError(StatementError):
    """The statement, or a row of it, is larger or more complex than PostgreSQL allows."""


class TemporaryDiskError(UnavailableError):
    """Retry: the statement needs more temporary disk than the role may use."""

    def __init__(
        self,
        message: str = "the statement needs more temporary disk than temp_file_limit of PostgreSQL allows",
    ) -> None:
        super().__init__(message)


_KINDS: dict[str, type[StatementError]] = {
    "23505": DuplicateRowError,
    "42710": DuplicateNameError,
    "42P01": MissingTableError,
    "3F000": MissingTableError,
    "42501": MissingRightError,
}


@contextmanager
def statement_errors() -> Iterator[None]:
    """Translate driver errors, for callers that know why a statement may fail."""
    try:
        yield
    except errors.QueryCanceled as exc:
        raise TooSlowError from exc
    except errors.LockNotAvailable as exc:
        raise LockedError from exc
    except psycopg2.Error as exc:
        raise _translation(exc) from exc


class Attempt:
    """A connection that is being made: `dsn` is set before the driver is called."""

    dsn = ""


@contextmanager
def connecting() -> Iterator[Attempt]:
    """Translate the errors of the driver's `connect`: `UnavailableError` (retry) or `ConfigurationError` (stop)."""
    attempt = Attempt()
    try:
        yield attempt
    except psycopg2.ProgrammingError:
        # The driver's message quotes the URL, which may contain a password.
        raise ConfigurationError("the database URL can't be read: postgresql://user@host/name") from None
    except psycopg2.OperationalError as exc:
        if _why_lost(exc) != AWAY:
            raise _translation(exc) from exc
        raise connection_error(str(exc), lambda: refusal_code(attempt.dsn)) from exc


def _translation(error: psycopg2.Error) -> Exception:
    code = error.pgcode or ""
    if code.startswith(_LIMITS):
        return LimitExceededError(error)
    if code == _TEMPORARY_DISK:
        return TemporaryDiskError()
    if _lost(error):
        return UnavailableError(_why_lost(error))
    return _KINDS.get(code, StatementError)(error)


def _lost(error: psycopg2.Error) -> bool:
    """Whether the error means that the server or the connection is gone, or that the server can't write now.

    When a server process is killed in the middle of an answer, the driver has no SQLSTATE and raises its base class.
    """
    return (
        isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        or (type(error) is psycopg2.DatabaseError and error.pgcode is None)
        or _is_read_only(error)
    )


def _is_read_only(error: psycopg2.Error) -> bool:
    """Whether the server is a standby. It refuses BEGIN READ WRITE as a feature, and the driver calls both defects."""
    return error.pgcode == _READ_ONLY or (error.pgcode == _FEATURE and "during recovery" in str(error))


def _why_lost(error: psycopg2.Error) -> str:
    if isinstance(error, SilentError):
        return str(error)
    if _is_read_only(error):
        return (
            f"{AWAY}: it is read-only (a standby that is not promoted yet, or default_transaction_read_only)"
        )
    shortage = _SHORTAGES.get(error.pgcode or "")
    if shortage is None:  # an error while connecting has no code
        shortage = next((what for text, what in _SHORTAGE_MESSAGES.items() if text in str(error)), None)
    return AWAY if shortage is None else f"the database refuses work: {shortage}"
