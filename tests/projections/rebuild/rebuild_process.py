"""A rebuild of all as a process, to be killed: `rebuild_process.py DATABASE_URL FILE`; FILE gets what is published."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from event_store.database import PROJECTOR, Database
from projections.rebuild.coordinator import rebuild
from projections.rebuild.plan import Parts
from projections.registry import built_in


class _Silent:
    """Progress that nobody looks at."""

    def begin(self, step: str, total: int, unit: str) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def say(self, message: str) -> None:
        pass


def main(url: str, file: str) -> None:
    """Rebuild all."""

    def publish(event: bytes) -> None:
        with Path(file).open("ab") as kept:
            kept.write(event + b"\n")

    database = Database(url, PROJECTOR)
    parts = Parts(
        database=database,
        open_database=partial(Database, url, PROJECTOR),
        source=built_in,
        publish=publish,
        progress=_Silent(),
        jobs=2,
        width=20,
        in_process=0,
    )
    rebuild(parts, [each.name for each in built_in()])


if __name__ == "__main__":
    main(*sys.argv[1:])
