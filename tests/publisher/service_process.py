"""A service that records events: a process of its own, which tests fork and kill. It prints the ids of its receipts.

``python -m tests.publisher.service_process MODE SPOOL URL``
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from audit_trail_publisher import Publisher


def main(mode: str, spool: str, url: str) -> None:
    token = os.environ.get("PUBLISHER_TOKEN")
    trail = Publisher(
        "patient-service", spool=spool, url=url, token=token, sequence=token is None, close_seconds=20.0
    )
    modes = {"forks": forks, "async": from_async_code, "orphan": orphan, "hangs": hangs, "works": works}
    (modes | {"load": load})[mode](trail)


def record(trail: Publisher, patient: str, count: int) -> None:
    for at in range(count):
        receipt = trail.record.read(resource=("Observation", str(at)), patient=patient, actor="dr-smith")
        # One write call: the lines of several processes do not mix.
        os.write(1, f"{receipt.event_id}\n".encode())


def forks(trail: Publisher) -> None:
    """Processes are forked while a thread of the parent records; all of them record."""
    trail.start()
    record(trail, "parent", 10)
    beside = threading.Thread(target=record, args=(trail, "thread", 100))
    beside.start()
    children = [_forked(lambda at=at: _child(trail, at)) for at in range(4)]
    record(trail, "parent-again", 10)
    beside.join()
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0, 0, 0], codes
    trail.close()


def _child(trail: Publisher, at: int) -> None:
    record(trail, f"child-{at}", 20)
    if at % 2:
        grandchild = _forked(lambda: record(trail, f"grandchild-{at}", 5))
        assert os.waitpid(grandchild, 0)[1] == 0
        trail.close()


def from_async_code(trail: Publisher) -> None:
    """A process is forked after async code has recorded, and records from async code as well."""

    async def work(patient: str) -> None:
        calls = [
            trail.aio.record.read(resource=("Observation", str(at)), patient=patient, actor="dr-smith")
            for at in range(20)
        ]
        for receipt in await asyncio.gather(*calls):
            os.write(1, f"{receipt.event_id}\n".encode())

    asyncio.run(work("parent"))
    child = _forked(lambda: asyncio.run(work("child")))
    assert os.waitpid(child, 0)[1] == 0
    trail.close()


def orphan(trail: Publisher) -> None:
    """The parent, whose relay sends, is killed; the child's relay has to send instead."""
    trail.start()
    record(trail, "parent", 5)
    parent = os.getpid()
    if os.fork():
        time.sleep(60)
    record(trail, "child", 5)
    os.kill(parent, signal.SIGKILL)
    record(trail, "child-again", 5)
    while trail.health().spool_events:
        time.sleep(0.05)
    os.write(1, b"sent\n")
    os._exit(0)


def hangs(trail: Publisher) -> None:
    """Records its start, and waits to be killed."""
    trail.start()
    os.write(1, b"started\n")
    time.sleep(60)


def works(trail: Publisher) -> None:
    """Starts, records and ends in order."""
    with trail:
        record(trail, "17", 2)


def load(trail: Publisher) -> None:
    """Records event after event until the journal has enough of them; it may be killed at any time and started again.

    The journal says which events the service wanted to record, and which calls returned. An event whose call did not
    return is recorded again under its id, as a service does that repeats a request.
    """
    journal, count = Path(os.environ["JOURNAL"]), int(os.environ["COUNT"])
    allowed = Path(os.environ["ALLOWED"])
    wanted, done = read_journal(journal)
    trail.start()
    with journal.open("ab", buffering=0) as lines:
        for at in range(count):
            if at not in done:
                if at not in wanted:
                    wanted[at] = f"{uuid4()} {datetime.now(UTC).isoformat()}"
                    lines.write(f"want {at} {wanted[at]}\n".encode())
                while at >= int(allowed.read_text()):
                    time.sleep(0.005)
                event_id, _, moment = wanted[at].partition(" ")
                trail.record.read(
                    resource=("Observation", str(at)),
                    patient=str(at % 16),
                    actor="dr-smith",
                    event_id=UUID(event_id),
                    occurred_at=datetime.fromisoformat(moment),
                )
                lines.write(f"done {at}\n".encode())
    trail.close(120.0)


def read_journal(journal: Path) -> tuple[dict[int, str], set[int]]:
    """What was wanted, with id and time, and what is done, by number."""
    lines = [line.split(" ", 2) for line in journal.read_text().splitlines()] if journal.exists() else []
    wanted = {int(at): rest[0] for word, at, *rest in lines if word == "want"}
    return wanted, {int(at) for word, at, *_ in lines if word == "done"}


def _forked(work: Any) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
