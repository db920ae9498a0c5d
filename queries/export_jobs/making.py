"""Make the file of one job: rows through the export pipeline, or an evidence kit of the same events."""

from __future__ import annotations

import hashlib
import os
import time
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from msgspec import Struct

from domain.errors import ConflictError, Reason
from domain.event import RecordedEvent
from event_store.database import Database
from event_store.evidence.kit import Selection, write_kit
from event_store.tlog.notes import VerifierKey
from event_store.tlog.policy import Policy
from queries.export.pipeline import Export
from queries.export.stream import stream
from queries.export_jobs.job import Job
from queries.export_jobs.job_folder import PARTIAL, HeldJob

SAVE_SECONDS = 1.0
"""How often the progress is saved: each time is an fsync."""
CHECK_BYTES = 4 << 20
"""How many bytes are written between two looks at what all jobs occupy."""
MAX_KIT_EVENTS = 100_000
"""Events of a kit. The directory of a zip is in memory until the end, with three files for each event."""
_KIT = "audit-trail-evidence.zip"


class Kits(Struct, frozen=True):
    """What makes kits: see `event_store.evidence.kit.write_kit`."""

    database: Database
    trusted: Sequence[VerifierKey] = ()
    policy: Policy | None = None


class Room:
    """Refuses what does not fit into the room of all jobs. `used` says what they occupy now."""

    def __init__(self, used: Callable[[], int], most: int) -> None:
        self._used = used
        self._most = most
        self._unchecked = CHECK_BYTES

    def take(self, size: int) -> None:
        """Call it before each write, which goes to the disk at once. Raises `ConflictError` when there is no room."""
        self._unchecked += size
        if self._unchecked >= CHECK_BYTES:
            self.require(size)
            self._unchecked = 0

    def require(self, size: int) -> None:
        """Raise `ConflictError` when `size` more bytes have no room."""
        if self._used() + size > self._most:
            raise ConflictError(
                Reason.OVERSIZED,
                f"all exports together may occupy {self._most} bytes, and this one does not fit:"
                " delete others, or ask for less",
            )


class Progress:
    """Saves the progress of a job now and then. `stop_if_asked` raises when the job must end."""

    def __init__(self, held: HeldJob, stop_if_asked: Callable[[], None]) -> None:
        self._held = held
        self._stop_if_asked = stop_if_asked
        self._saved_at = time.monotonic()

    def __call__(self, rows: int) -> None:
        """So many rows are done."""
        self._stop_if_asked()
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self._held.save(rows=rows)
            self._saved_at = time.monotonic()


def write_rows(held: HeldJob, export: Export, room: Room, progress: Progress) -> dict[str, Any]:
    """Write the rows. Returns the facts about the complete file, which has not got its name yet."""
    digest = hashlib.sha256()
    rows = size = 0

    def count(number: int) -> None:
        nonlocal rows
        rows = number
        progress(number)

    with held.writing() as file:
        for piece in stream(export, progress=count):
            room.take(len(piece))
            file.write(piece)
            file.flush()
            digest.update(piece)
            size += len(piece)
    return {"rows": rows, "bytes": size, "sha256": digest.hexdigest()}


def chosen_events(export: Export, progress: Progress) -> array[int]:
    """The positions of the events. Reading them records the disclosed patients, as for any other format."""
    positions = array("q")
    for batch in export.batches():
        rows: Sequence[RecordedEvent] = batch.rows
        positions.extend(row.position for row in rows)
        if len(positions) > MAX_KIT_EVENTS:
            raise ConflictError(
                Reason.OVERSIZED,
                f"an evidence kit has at most {MAX_KIT_EVENTS} events: choose a shorter range, or make it with"
                " `audit-trail evidence`",
            )
        progress(len(positions))
    if not positions:
        raise ConflictError(Reason.CONFLICT, "no event matches: there is nothing to prove")
    return positions


def write_evidence(
    held: HeldJob, positions: array[int], as_of: int, kits: Kits, room: Room, progress: Progress
) -> dict[str, Any]:
    """Write the kit. Returns the facts about the complete file, which has not got its name yet."""

    def count(events: int, temporary: int) -> None:
        room.require(temporary)
        progress(events)

    written = write_kit(
        kits.database,
        Selection(query=_selection(held.job), positions=positions, as_of_position=as_of),
        held.path / _KIT,
        program=f"audit-trail {metadata.version('audit-trail')}",
        at=datetime.now(UTC),
        trusted=kits.trusted,
        policy=kits.policy,
        progress=count,
    )
    held.folder.rename(_KIT, PARTIAL)
    with held.folder.open_file(PARTIAL, "rb") as file:
        size, digest = _measured(file)
    note = f"SHA-256 of manifest.json: {written.manifest_digest}."
    if written.satisfies_policy is False:
        note += " No signed head that covers these events satisfies the witness policy yet."
    if not kits.trusted:
        note += " The log's key was taken from the database itself: compare it with the one that you keep."
    return {"rows": written.events, "bytes": size, "sha256": digest, "note": note}


def _measured(file: Any) -> tuple[int, str]:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = file.seek(0, os.SEEK_END)
    os.fsync(file.fileno())
    return size, digest


def _selection(job: Job) -> dict[str, str | list[str]]:
    """The filter as the kit's manifest has it."""
    found: dict[str, str | list[str]] = {}
    for name in dict.fromkeys(name for name, _ in job.pairs):
        values = [value for given, value in job.pairs if given == name]
        found[name] = values[0] if len(values) == 1 else values
    return found
