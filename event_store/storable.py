"""Tells errors of an append that one message causes from errors that pass or that need an operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2 import DataError, errors

from domain.errors import UnstorableError


@contextmanager
def refusals() -> Iterator[None]:
    """Raise `UnstorableError` where PostgreSQL refuses a row for its content: retrying would fail for ever.

    That is class 22 (data exception: text that is invalid, a number or time that does not fit) and 54000 (program limit
    exceeded: larger than a field, row or index may be).
    """
    try:
        yield
    except errors.InvalidParameterValue:
        raise  # a role or setting that is not there, which an operator has to mend
    except (DataError, errors.ProgramLimitExceeded) as exc:
        raise UnstorableError(exc.pgcode or "unknown") from exc
