"""A supervisor to be killed: it starts what its argument names, says where, and waits for ever."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from audit_trail.embedded.kafka import ApacheKafka
from audit_trail.embedded.postgres import EmbeddedPostgres
from audit_trail.embedded.process import WatchedProcess
from audit_trail.embedded.tansu import TansuBroker


def main(kind: str, folder: Path) -> None:
    if kind == "postgres":
        server = EmbeddedPostgres(folder, settings={"fsync": "off"}).start()
        report = {"url": server.url, "pid": server.pid}
    elif kind == "kafka":
        report = {"bootstrap_servers": ApacheKafka(folder).start().bootstrap_servers}
    elif kind == "embedded":
        report = {"bootstrap_servers": TansuBroker().start().bootstrap_servers}
    else:
        report = {"pid": WatchedProcess(["sleep", "600"]).start().pid}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
