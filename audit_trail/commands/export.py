"""`audit-trail export`: events, or rows of a read model, into a file."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit_trail.commands.filter_options import takes_filter
from audit_trail.commands.terminal import Unrecorded, out, wrong
from domain.errors import ConfigurationError, UnavailableError
from queries.filters.event_filter import EventFilter

if TYPE_CHECKING:
    from rich.status import Status

    from audit_trail.export.file import FinishedExport
    from queries.export.pipeline import Exports
    from queries.export.record import ExportRecord
    from queries.export.request import ExportRequest

app = typer.Typer()

_STANDARD_OUTPUT = "-"


@app.command()
@takes_filter()
def export(
    output: Annotated[
        Path,
        typer.Argument(help="The file to write, with FILE.manifest.json beside it. - is standard output."),
    ],
    format: Annotated[
        Literal["ndjson", "csv", "parquet"] | None,
        typer.Option(help="The format; by default the ending of the file's name."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(help="A table of a live projection, such as patient_access, instead of events."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE that rows of the table must have; may be repeated.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue an export that was cut off; start one when there is none."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    *,
    filter: EventFilter,
    unrecorded: Unrecorded = None,
) -> None:
    """Export events, or a read model's rows, to NDJSON, CSV or Parquet, with a manifest. It is personal data.

    All conditions must hold; of an option that is repeated, one value must match. The filters are those of the API.
    The export itself is recorded in the trail, through Kafka.
    """
    from audit_trail.commands.access_record import CommandRecord
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from queries.export.manifest import query_of
    from queries.export.pipeline import Exports
    from queries.export.request import ExportRequest, Format

    request = ExportRequest(
        format=Format(format or _format_of(output)),
        table=table,
        where=tuple(_pair(text) for text in where or ()),
        filter=filter,
    )
    settings = load()
    with (
        closing(open_database(settings, Pool.EXPORTS)) as database,
        CommandRecord(settings, "export", query_of(request), unrecorded) as record,
    ):
        exports = Exports(database)
        if str(output) != _STANDARD_OUTPUT:
            _write_to_file(exports, request, record, output, resume=resume, force=force)
        elif resume or force:
            raise ConfigurationError("a pipe can't be resumed or replaced: name a file")
        else:
            _write_to_pipe(exports, request, record)


def _write_to_file(
    exports: Exports, request: ExportRequest, record: ExportRecord, output: Path, *, resume: bool, force: bool
) -> None:
    from audit_trail.export.file import export_to_file

    with out.status("Exporting") as status:
        try:
            outcome = export_to_file(
                exports,
                request,
                output,
                record=record,
                resume=resume,
                force=force,
                progress=lambda rows: _show(status, rows),
            )
        except UnavailableError as exc:
            raise UnavailableError(f"{exc}; --resume goes on where it was cut off") from exc
        except OSError as exc:
            raise UnavailableError(f"can't write {exc.filename or output}: {exc.strerror}") from exc
    typer.echo(_summary(outcome, output))


def _write_to_pipe(exports: Exports, request: ExportRequest, record: ExportRecord) -> None:
    from queries.export.stream import stream

    with exports.open(request, record=record) as export:
        for chunk in stream(export):
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _show(status: Status, rows: int) -> None:
    status.update(f"Exporting: {rows:,} rows")


def _summary(outcome: FinishedExport, output: Path) -> str:
    manifest = outcome.manifest
    if outcome.was_finished:
        return f"{output} is finished already: {manifest.rows} rows"
    resumed = f", {outcome.resumed} of them before it was cut off" if outcome.resumed else ""
    return f"exported {manifest.rows} rows as of position {manifest.snapshot.as_of_position} to {output}{resumed}"


def _format_of(output: Path) -> str:
    ending = output.suffix.removeprefix(".")
    if ending in {"ndjson", "jsonl"}:
        return "ndjson"
    if ending in {"csv", "parquet"}:
        return ending
    raise ConfigurationError("the file's name does not say the format: give --format ndjson, csv or parquet")


def _pair(text: str) -> tuple[str, str]:
    name, equal, value = text.partition("=")
    if not equal:
        raise wrong("--where", "give COLUMN=VALUE")
    return name, value
