"""Distinguish append errors that one message causes from errors that are temporary or need an operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2 import DataError

from domain.errors import UnstorableError
from event_store.statement_errors import StatementError, statement_errors

_INVALID_PARAMETER_VALUE = "22023"
"""A missing role or setting, which an operator must fix."""
_PROGRAM_LIMIT = "54000"


@contextmanager
def refusals() -> Iterator[None]:
    """Raise `UnstorableError` when PostgreSQL refuses a row for its content: a retry would always fail.

    These are SQLSTATE class 22 (data exception: invalid text, a number or time out of range) and 54000 (program limit
    exceeded: too large for a field, row or index).
    """
    try:
        with statement_errors():
            yield
    except StatementError as exc:
        content = isinstance(exc.__cause__, DataError) and exc.code != _INVALID_PARAMETER_VALUE
        if not content and exc.code != _PROGRAM_LIMIT:
            raise
        raise UnstorableError(exc.code or "unknown") from exc
