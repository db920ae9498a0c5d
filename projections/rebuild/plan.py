"""The input and the outcome of a rebuild."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from domain.event import Actor
from event_store.database import Database
from projections.rebuild.worker import OpenDatabase, Source

WIDTH = 50_000
"""Events of a range. A kill costs at most one range, some seconds of a worker; a wider one needs more memory."""
IN_PROCESS = 20_000
"""So few events take less time than the start of a worker process."""


class Progress(Protocol):
    """Receives the progress of a rebuild."""

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step of `total` units begins."""

    def advance(self, count: int) -> None:
        """`count` more units are done."""

    def say(self, message: str) -> None:
        """Show a message on its own line."""


class RebuildResult(Struct, frozen=True):
    """The outcome for one projection. `failure` says what stops it; it is empty when its new build is live.

    `skippable`: one event stops it, which an operator may skip.
    """

    name: str
    build: int
    position: int
    failure: str = ""
    skippable: bool = False


class Parts(Struct, frozen=True):
    """The input of a rebuild. `open_database` and `source` go to worker processes, so they must be picklable.

    `publish` sends a `projection.rebuilt` event to the trail. `width` and `in_process` are numbers of events.
    `by` is who asked for the rebuild, and `reason` why; None when the command line did.
    """

    database: Database
    open_database: OpenDatabase
    source: Source
    publish: Callable[[bytes], None]
    progress: Progress
    jobs: int = os.cpu_count() or 1
    width: int = WIDTH
    in_process: int = IN_PROCESS
    by: Actor | None = None
    reason: str | None = None
