"""A Celery worker with processes: ``celery --app tests.publisher.integrations.celery_process worker``.

FOLDER has the messages of its broker, the spool, and the file `sent` with the events that were sent.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_shutdown

from audit_trail_publisher import Publisher
from audit_trail_publisher.celery import TaskAudit
from audit_trail_publisher.messages import Message
from audit_trail_publisher.transports.transport import Delivery

FOLDER = Path(os.environ.get("FOLDER", "/nowhere"))


class ToFile:
    """A transport into a file of lines."""

    max_events = 100
    max_bytes = 1 << 20

    def send(self, messages: Sequence[Message]) -> Delivery:
        with (FOLDER / "sent").open("ab") as file:
            file.writelines(message.body + b"\n" for message in messages)
        return Delivery(accepted=frozenset(message.event_id for message in messages))

    def close(self) -> None:
        pass

    def forget(self) -> None:
        pass


trail = Publisher("report-service", spool=FOLDER / "spool", transport=ToFile(), sequence=False)
app = Celery("clinic", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": FOLDER / "messages",
        "data_folder_out": FOLDER / "messages",
        "control_folder": FOLDER / "control",
    },
    worker_proc_alive_timeout=60,
)
TaskAudit(trail, record="all").install()


@worker_init.connect  # type: ignore[untyped-decorator]
def start(**_: Any) -> None:
    trail.start()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def close(**_: Any) -> None:
    trail.close()


@app.task  # type: ignore[untyped-decorator]
def read(patient: str) -> None:
    trail.record.read(patient=patient, resource=("Report", patient))


@app.task  # type: ignore[untyped-decorator]
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
