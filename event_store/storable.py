"""Distinguish append errors that one message causes from errors that are temporary or need an operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2 import DataError, errors

from domain.errors import UnstorableError


@contextmanager
def refusals() -> Iterator[None]:
    """Raise `UnstorableError` when PostgreSQL refuses a row for its content: a retry would always fail.

    These are SQLSTATE class 22 (data exception: invalid text, a number or time out of range) and 54000 (program limit
    exceeded: too large for a field, row or index).
    """
    try:
        yield
    except errors.InvalidParameterValue:
        raise  # a missing role or setting: an operator must fix it
    except (DataError, errors.ProgramLimitExceeded) as exc:
        raise UnstorableError(exc.pgcode or "unknown") from exc
