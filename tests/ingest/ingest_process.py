"""An ingest as a process, to be killed: `ingest_process.py DATABASE_URL BOOTSTRAP TOPIC GROUP ASSIGNMENT [PAUSE]`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from event_store.database import INGEST, Connection, Database
from event_store.signing import read_signer
from ingest.pipeline import Ingest
from ingest.settings import IngestSettings


class Pausing(Database):
    """A database on which every transaction takes longer, so that whoever looks on sees one batch after the other."""

    pause = 0.0

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        time.sleep(self.pause)
        with super().transaction(read_only=read_only) as connection:
            yield connection


def main(url: str, bootstrap: str, topic: str, group: str, assignment: str, pause: str = "0") -> None:
    """Ingest until SIGTERM."""
    settings = IngestSettings(
        bootstrap_servers=(bootstrap,),
        topics=(topic,),
        group_id=group,
        assignment="static" if assignment == "static" else "group",
        max_poll_records=100,
    )
    database = Pausing(url, INGEST)
    database.pause = float(pause)
    ingest = Ingest(settings, database, read_signer(os.environ["AUDIT_TRAIL_TEST_LOG_KEY"]))
    signal.signal(signal.SIGTERM, lambda *_: ingest.stop())
    ingest.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
