"""Remembers, for the current request, that an event could not be kept.

A framework may make any response of the exception (Flask and Django do, before their middleware sees it), so the
middleware has to know it from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from audit_trail_publisher.errors import SpoolFullError, SpoolUnavailableError

UnkeptError = SpoolFullError | SpoolUnavailableError
UNKEPT = (SpoolFullError, SpoolUnavailableError)

remembered: ContextVar[list[UnkeptError] | None] = ContextVar("audit_trail_unkept", default=None)
"""The errors of the current request; None outside of one."""


@contextmanager
def remembering() -> Iterator[None]:
    """Remember such an error of the block. It goes on."""
    try:
        yield
    except UNKEPT as exc:
        errors = remembered.get()
        if errors is not None:
            errors.append(exc)
        raise
