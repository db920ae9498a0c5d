"""An ingest as a process, to be killed: `ingest_process.py DATABASE_URL BOOTSTRAP TOPIC GROUP ASSIGNMENT`."""

from __future__ import annotations

import os
import signal
import sys

from event_store.database import INGEST, Database
from event_store.signing import read_signer
from ingest.pipeline import Ingest
from ingest.settings import IngestSettings


def main(url: str, bootstrap: str, topic: str, group: str, assignment: str) -> None:
    """Ingest until SIGTERM."""
    settings = IngestSettings(
        bootstrap_servers=(bootstrap,),
        topics=(topic,),
        group_id=group,
        assignment="static" if assignment == "static" else "group",
        max_poll_records=100,
    )
    ingest = Ingest(settings, Database(url, INGEST), read_signer(os.environ["AUDIT_TRAIL_TEST_LOG_KEY"]))
    signal.signal(signal.SIGTERM, lambda *_: ingest.stop())
    ingest.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
