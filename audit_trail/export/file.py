"""An export into a file, with a manifest beside it. The file is complete or absent; a killed export can go on."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from audit_trail.export.work_folder import State, Work
from domain.errors import ConfigurationError
from event_store.files.folders import settle
from queries.export.batches import ExportRequest, Format, Opened, Snapshot
from queries.export.manifest import ExportFile, Manifest, exported, filter_of, manifest_of, now
from queries.export.parquet import ParquetStream, join_parts

KEEP_SECONDS = 1.0
"""How often the state of a text export is stored: a kill loses so much work at most. An fsync takes milliseconds."""

Progress = Callable[[int], None]


class Outcome(NamedTuple):
    """`went_on`: the rows that an earlier run had written. `was_finished`: an earlier run had finished the export."""

    manifest: Manifest
    went_on: int = 0
    was_finished: bool = False


class Opening(Protocol):
    """`Exports` of `queries.export.batches`, or a wrapper of it."""

    def open(self, request: ExportRequest, saved: Snapshot | None = None) -> AbstractContextManager[Opened]:
        """Open an export, or continue `saved`."""
        ...


def export_to_file(
    exports: Opening,
    request: ExportRequest,
    target: Path,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress = lambda _: None,
) -> Outcome:
    """Export into `target`, and its manifest into `target`.manifest.json; `progress` gets the rows so far.

    `resume` goes on with an export that was cut off, or begins one when there is none. `force` replaces what is there.
    Raises `ConfigurationError` when that is needed and not given, and what `Exports.open` raises.
    """
    with Work(target) as work:
        return _export(exports, request, work, resume=resume, force=force, progress=progress)


def _export(
    exports: Opening, request: ExportRequest, work: Work, *, resume: bool, force: bool, progress: Progress
) -> Outcome:
    target = work.target
    finished = _finished(work, request, resume=resume, force=force)
    if finished is not None:
        return finished
    if work.begun and not resume and not force:
        raise ConfigurationError(f"an export of {target} was cut off: --resume goes on, --force begins anew")
    with work.held():
        state = work.state() if resume else None
        if state is not None and not _is_of(state, request):
            raise ConfigurationError(
                f"what was cut off at {target} is another export; --force alone begins anew"
            )
        with exports.open(request, state.snapshot if state else None) as opened:
            if state is None or state.snapshot != opened.snapshot:
                work.clear()
                state = _new(opened)
                work.keep(state)
            before = state.rows
            write = _write_parquet if request.format is Format.PARQUET else _write_text
            state = write(work, opened, state, progress)
        if work.target_exists and not force:
            raise ConfigurationError(f"{target} has come into being meanwhile; --resume --force replaces it")
        with work.reading() as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, os.SEEK_END)
        file_of = ExportFile(name=target.name, bytes=size, sha256=digest)
        manifest = manifest_of(opened, state.rows, [file_of], state.created_at)
        work.publish(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return Outcome(manifest, before)


def _finished(work: Work, request: ExportRequest, *, resume: bool, force: bool) -> Outcome | None:
    """The outcome when `resume` finds nothing left to do. Raises `ConfigurationError` when the target is in the way."""
    if force or not work.target_exists:
        return None
    if resume and (kept := work.finished()) is not None:
        manifest = _manifest(work, kept)
        if _is_of(manifest, request):
            return Outcome(manifest, manifest.rows, was_finished=True)
    raise ConfigurationError(f"{work.target} exists; --force replaces it")


def _manifest(work: Work, kept: bytes) -> Manifest:
    try:
        return msgspec.json.decode(kept, type=Manifest)
    except msgspec.DecodeError as exc:
        raise ConfigurationError(f"{work.manifest} can't be read; --force begins anew") from exc


def _is_of(kept: State | Manifest, request: ExportRequest) -> bool:
    return (kept.exported, kept.filter, kept.format) == (
        exported(request),
        filter_of(request),
        request.format.value,
    )


def _new(opened: Opened) -> State:
    request = opened.request
    return State(
        exported=exported(request),
        filter=filter_of(request),
        format=request.format.value,
        created_at=now(),
        snapshot=opened.snapshot,
    )


def _write_text(work: Work, opened: Opened, state: State, progress: Progress) -> State:
    beyond, rows = state.beyond, state.rows
    kept_at = time.monotonic()
    with work.appending(state.size) as file:
        size = state.size
        if size == 0:
            size += file.write(opened.head())
        for batch in opened.source.batches(tuple(beyond) if beyond is not None else None):
            size += file.write(opened.text(batch.rows))
            rows += len(batch.rows)
            beyond = list(batch.last)
            progress(rows)
            if time.monotonic() - kept_at > KEEP_SECONDS:
                settle(file)
                work.keep(msgspec.structs.replace(state, beyond=beyond, rows=rows, size=size))
                kept_at = time.monotonic()
        settle(file)
    state = msgspec.structs.replace(state, beyond=beyond, rows=rows, size=size)
    work.keep(state)
    return state


def _write_parquet(work: Work, opened: Opened, state: State, progress: Progress) -> State:
    """Write each row group as a part, since a Parquet file can't be appended to. At the end, join the parts."""
    batches = opened.source.batches(tuple(state.beyond) if state.beyond is not None else None)
    columns = opened.source.columns
    for number in count(state.parts):
        stream = ParquetStream(columns)
        parts: list[bytes] = []
        rows, beyond = state.rows, state.beyond
        for batch in batches:
            parts.append(stream.add(opened.source.values(batch.rows)))
            rows += len(batch.rows)
            beyond = list(batch.last)
            progress(rows)
            if stream.groups:
                break
        if rows == state.rows:
            break
        parts.append(stream.end())
        work.keep_part(number, b"".join(parts))
        state = msgspec.structs.replace(state, beyond=beyond, rows=rows, parts=number + 1)
        work.keep(state)
    with work.replacing() as file:
        join_parts((work.reading_part(number) for number in range(state.parts)), file, columns)
    return state
