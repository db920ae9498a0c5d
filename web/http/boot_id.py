"""The id of this process, by which a watcher notices a restart. It is random, so it tells nobody since when it runs."""

from __future__ import annotations

from functools import cache
from uuid import uuid4

HEADER = "Boot-Id"
"""The header of health pages with the id."""


@cache
def boot_id() -> str:
    """The same at each call, and another one in each process."""
    return uuid4().hex
