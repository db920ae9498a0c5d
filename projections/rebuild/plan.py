"""What a rebuild is told, and what it tells."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from event_store.database import Database
from projections.rebuild.worker import OpenDatabase, Source

WIDTH = 50_000
"""Events of a range: what a kill costs at most, some seconds of one worker; more would need more memory."""
IN_PROCESS = 20_000
"""So few events are loaded before a worker process has started."""


class Progress(Protocol):
    """Who is told how far it is."""

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step of `total` units begins."""

    def advance(self, count: int) -> None:
        """Some units are done."""

    def say(self, message: str) -> None:
        """Something worth a line."""


class Outcome(Struct, frozen=True):
    """What became of one projection: `failure` says what stops it, and is empty when its new build is live.

    `skippable` says that it is one event, which an operator may skip.
    """

    name: str
    build: int
    position: int
    failure: str = ""
    skippable: bool = False


class Parts(Struct, frozen=True):
    """What a rebuild works with. `open_database` and `source` are handed to worker processes, so they are picklable.

    `publish` sends a `projection.rebuilt` event to the trail. `width` and `in_process` are numbers of events.
    """

    database: Database
    open_database: OpenDatabase
    source: Source
    publish: Callable[[bytes], None]
    progress: Progress
    jobs: int = os.cpu_count() or 1
    width: int = WIDTH
    in_process: int = IN_PROCESS
