"""Tells errors of an append that one message causes from errors that pass or that need an operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2 import DataError

from domain.errors import UnstorableError
from event_store.statement_errors import StatementError, statement_errors

_INVALID_PARAMETER_VALUE = "22023"
"""A role or setting that does not exist, which an operator has to mend."""
_PROGRAM_LIMIT = "54000"


@contextmanager
def refusals() -> Iterator[None]:
    """Raise `UnstorableError` where PostgreSQL refuses a row for its content: retrying would fail for ever.

    That is class 22 (data exception: text that is invalid, a number or time that does not fit) and 54000 (program limit
    exceeded: larger than a field, row or index may be).
    """
    try:
        with statement_errors():
            yield
    except StatementError as exc:
        content = isinstance(exc.__cause__, DataError) and exc.code != _INVALID_PARAMETER_VALUE
        if not content and exc.code != _PROGRAM_LIMIT:
            raise
        raise UnstorableError(exc.code or "unknown") from exc
