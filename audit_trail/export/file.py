"""The sink of the command line: a file with its manifest, complete or absent, that can be resumed after a kill."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from audit_trail.export.work_folder import State, Work
from domain.errors import ConfigurationError
from event_store.files.folders import settle
from queries.export.manifest import ExportFile, Manifest, exported, filter_of, manifest_of, now
from queries.export.parquet import ParquetEncoder, join_parts
from queries.export.pipeline import Export, Exports
from queries.export.record import ExportRecord
from queries.export.request import ExportRequest, Format
from queries.export.rows import RowBatch

KEEP_SECONDS = 1.0
"""How often the state of NDJSON or CSV is saved: a kill loses this much work, and an fsync takes some milliseconds."""

Progress = Callable[[int], None]


class FinishedExport(NamedTuple):
    """A finished export. `resumed` is the number of rows that earlier runs wrote.

    `was_finished`: an earlier run wrote all of them.
    """

    manifest: Manifest
    resumed: int = 0
    was_finished: bool = False


def export_to_file(
    exports: Exports,
    request: ExportRequest,
    target: Path,
    *,
    record: ExportRecord | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress = lambda _: None,
) -> FinishedExport:
    """Export into `target`, and its manifest into `target`.manifest.json. `progress` gets the number of rows so far.

    `resume` resumes an export that was cut off, or begins one when there is none. `force` replaces existing files.
    Raises `ConfigurationError` when one of them is needed and missing, and what `Exports.open` raises.
    """
    with Work(target) as work:
        finished = _finished(work, request, resume=resume, force=force)
        if finished is not None:
            return finished
        if work.begun and not resume and not force:
            raise ConfigurationError(
                f"an export of {target} was cut off: --resume continues it, --force starts again"
            )
        with work.held():
            state = _saved(work, request) if resume else None
            with exports.open(request, state.snapshot if state else None, record=record) as export:
                if state is None or state.snapshot != export.snapshot:
                    work.clear()
                    state = _new(export)
                    work.keep(state)
                resumed = state.rows
                write = _write_parquet if request.format is Format.PARQUET else _write_text
                state = write(work, export, state, progress)
            if work.target_exists and not force:
                raise ConfigurationError(
                    f"{target} has come into being meanwhile; --resume --force replaces it"
                )
            manifest = manifest_of(export, state.rows, [_data_file(work)], state.created_at)
            work.publish(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return FinishedExport(manifest, resumed)


def _finished(work: Work, request: ExportRequest, *, resume: bool, force: bool) -> FinishedExport | None:
    """The outcome of an export that is finished already. Raises `ConfigurationError` when the target is in the way."""
    if force or not work.target_exists:
        return None
    if resume and (kept := work.finished()) is not None:
        manifest = _manifest(work, kept)
        if _is_of(manifest, request):
            return FinishedExport(manifest, manifest.rows, was_finished=True)
    raise ConfigurationError(f"{work.target} exists; --force replaces it")


def _manifest(work: Work, kept: bytes) -> Manifest:
    try:
        return msgspec.json.decode(kept, type=Manifest)
    except msgspec.DecodeError as exc:
        raise ConfigurationError(f"{work.manifest} can't be read; --force starts again") from exc


def _saved(work: Work, request: ExportRequest) -> State | None:
    """The saved state of this export. Raises `ConfigurationError` when another export was cut off here."""
    state = work.state()
    if state is not None and not _is_of(state, request):
        raise ConfigurationError(f"another export was cut off at {work.target}; --force alone starts again")
    return state


def _is_of(saved: State | Manifest, request: ExportRequest) -> bool:
    return (saved.exported, saved.filter, saved.format) == (
        exported(request),
        filter_of(request),
        request.format.value,
    )


def _new(export: Export) -> State:
    request = export.request
    return State(
        exported=exported(request),
        filter=filter_of(request),
        format=request.format.value,
        created_at=now(),
        snapshot=export.snapshot,
    )


def _write_text(work: Work, export: Export, state: State, progress: Progress) -> State:
    encoder = export.encoder()
    saved_at = time.monotonic()
    with work.appending(state.size) as file:
        if state.size == 0:
            state = replace(state, size=file.write(encoder.header()))
        for batch in export.batches(state.after):
            size = state.size + file.write(encoder.encode(batch.rows))
            state = _advanced(state, batch, size=size)
            progress(state.rows)
            if time.monotonic() - saved_at > KEEP_SECONDS:
                settle(file)
                work.keep(state)
                saved_at = time.monotonic()
        settle(file)
    work.keep(state)
    return state


def _write_parquet(work: Work, export: Export, state: State, progress: Progress) -> State:
    """Write one part per row group, since a Parquet file can't be appended to. At the end they become one file."""
    batches = iter(export.batches(state.after))
    for number in count(state.parts):
        encoder = ParquetEncoder(export.rows)
        data = [encoder.header()]
        part = state
        for batch in batches:
            data.append(encoder.encode(batch.rows))
            part = _advanced(part, batch, parts=number + 1)
            progress(part.rows)
            if encoder.groups:
                break
        if part is state:
            break
        data.append(encoder.end())
        work.keep_part(number, b"".join(data))
        work.keep(part)
        state = part
    with work.replacing() as file:
        join_parts((work.reading_part(number) for number in range(state.parts)), file, export.columns)
    return state


def _advanced(state: State, batch: RowBatch, **written: int) -> State:
    return replace(state, beyond=list(batch.last), rows=state.rows + len(batch.rows), **written)


def _data_file(work: Work) -> ExportFile:
    with work.reading() as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.seek(0, os.SEEK_END)
    return ExportFile(name=work.target.name, bytes=size, sha256=digest)
