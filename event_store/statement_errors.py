"""The one place that translates the driver's errors.

A lost connection or a statement that ran out of time is `UnavailableError`: retry. Any other error becomes a
`StatementError`, which is outside the tree of `domain.errors`: only the caller knows whether a refused statement means
reject, retry or stop, and raises an error of that tree. A `StatementError` that nobody catches is a defect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2 import errors

from domain.errors import LockedError, TooSlowError, UnavailableError
from event_store.silence.connections import SilentError

_DISK = "its disk is full"
_MEMORY = (
    "it is out of memory, or sessions hold all the locks that it has room for"
    " (see pg_locks, and max_locks_per_transaction of PostgreSQL)"
)
_CONNECTIONS = "it has no connection left (see pg_stat_activity, and max_connections of PostgreSQL)"
_SHORT = {"53100": _DISK, "53200": _MEMORY, "53300": _CONNECTIONS}
"""What the server is short of, by SQLSTATE (class 53, insufficient resources)."""
_SAID = {
    "out of shared memory": _MEMORY,
    "too many connections": _CONNECTIONS,
    "too many clients": _CONNECTIONS,
    "connection slots are reserved": _CONNECTIONS,
}
"""The same by the server's words, where the driver keeps no SQLSTATE."""
_LIMITS = "54"
"""The SQLSTATE class of program limits. The driver calls them operational, but a retry would fail for ever."""
_TEMPORARY_DISK = "53400"
"""configuration_limit_exceeded. In this program only temp_file_limit raises it."""


class StatementError(Exception):
    """The server refused a statement. The text never holds the server's own words, which can quote values.

    `code` is the SQLSTATE, empty when the server sent none. `name` is the condition, such as ``UniqueViolation``.
    `server_message` is the server's primary message. `constraint` is the constraint that was violated.
    `character` is the place of the error in a statement that a function ran, counted from 1.
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
    """A row has the key of another one."""


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
    """Translate the driver's errors. For a caller that can tell why its statement fails."""
    try:
        yield
    except errors.QueryCanceled as exc:
        raise TooSlowError from exc
    except errors.LockNotAvailable as exc:
        raise LockedError from exc
    except psycopg2.Error as exc:
        raise _translation(exc) from exc


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
    """Whether the driver says that the server or the connection is gone.

    When a server process is killed in the middle of an answer, the driver has no SQLSTATE to tell by, and raises the
    base of its tree itself.
    """
    return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or (
        type(error) is psycopg2.DatabaseError and error.pgcode is None
    )


def _why_lost(error: psycopg2.Error) -> str:
    if isinstance(error, SilentError):
        return str(error)
    short = _SHORT.get(error.pgcode or "")
    if short is None:  # an error while connecting has no code
        short = next((what for said, what in _SAID.items() if said in str(error)), None)
    return "the database is away" if short is None else f"the database refuses work: {short}"
