"""The SQLSTATE with which PostgreSQL refused a connection, whatever the language of its messages.

libpq shows it only in its verbose messages, and a connection can be made verbose only once it has begun. So the login
is tried again, step by step. The driver gives its handle of libpq for such uses (`connection.pgconn_ptr`).
"""

from __future__ import annotations

import ctypes
import re
import select
import time

import psycopg2
import psycopg2._psycopg
from psycopg2.extensions import POLL_OK, POLL_READ, connection

_VERBOSE = 2
"""PQERRORS_VERBOSE of libpq-fe.h."""
_SECONDS = 10.0
_FROM_SERVER = re.compile(r"failed: [^:\n]{1,40}: {2}\S")
"""A severity, in the server's language, and two blanks precede the server's text alone."""
_CODE = re.compile(r"(?m)(?:^|failed: )[^:\n]{1,40}: {2}([0-9A-Z]{5}): ")


def is_from_server(message: str) -> bool:
    """Whether a server has refused the connection, and not the network or libpq."""
    return _FROM_SERVER.search(message) is not None


def refusal_code(dsn: str, seconds: float = _SECONDS) -> str | None:
    """The SQLSTATE with which the server refuses a connection; None when it does not refuse it, or shows none."""
    try:
        attempt = psycopg2.connect(dsn, async_=True)
    except psycopg2.Error:
        return None
    try:
        _set_verbosity(attempt, _VERBOSE)
        _finish(attempt, time.monotonic() + seconds)
    except psycopg2.Error as exc:
        codes = _CODE.findall(str(exc))
        return codes[-1] if codes else None
    finally:
        attempt.close()
    return None


def _set_verbosity(attempt: connection, verbosity: int) -> None:
    # A library's handle also finds the functions of the libraries that it needs: this is the driver's own libpq.
    libpq = ctypes.PyDLL(psycopg2._psycopg.__file__)
    libpq.PQsetErrorVerbosity(ctypes.c_void_p(attempt.pgconn_ptr), ctypes.c_int(verbosity))


def _finish(attempt: connection, until: float) -> None:
    while (state := attempt.poll()) != POLL_OK:
        left = max(0.0, until - time.monotonic())
        reads, writes = ([attempt], []) if state == POLL_READ else ([], [attempt])
        if not any(select.select(reads, writes, [], left)):
            return
