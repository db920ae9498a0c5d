"""`audit-trail export`: events, or rows of a read model, into a file."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from audit_trail.commands.filter_options import takes_filter
from audit_trail.commands.terminal import Unrecorded, out
from domain.errors import ConfigurationError, Reason, RejectedError, UnavailableError
from queries.filters import EventFilter

if TYPE_CHECKING:
    from rich.status import Status

    from audit_trail.export.file import Opening, Outcome
    from queries.export.batches import ExportRequest

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
    from audit_trail.commands.recorded_exports import RecordedExports
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from queries.export.batches import ExportRequest, Exports, Format
    from queries.export.disclosed_patients import asked_of_export

    request = ExportRequest(
        format=Format(format or _format_of(output)),
        table=table,
        where=tuple(_pair(text) for text in where or ()),
        filter=filter,
    )
    settings = load()
    with (
        closing(open_database(settings, Pool.EXPORTS)) as database,
        CommandRecord(settings, "export", asked_of_export(request), unrecorded) as record,
    ):
        _run(RecordedExports(Exports(database), record), request, output, resume=resume, force=force)


def _run(exports: Opening, request: ExportRequest, output: Path, *, resume: bool, force: bool) -> None:
    from audit_trail.export.file import export_to_file

    if str(output) == _STANDARD_OUTPUT:
        if resume or force:
            raise ConfigurationError("a pipe can't be resumed or replaced: name a file")
        _write_to_pipe(exports, request)
        return
    with out.status("Exporting") as status:
        try:
            outcome = export_to_file(
                exports,
                request,
                output,
                resume=resume,
                force=force,
                progress=lambda rows: _show(status, rows),
            )
        except UnavailableError as exc:
            raise UnavailableError(f"{exc}; --resume goes on where it was cut off") from exc
        except OSError as exc:
            raise UnavailableError(f"can't write {exc.filename or output}: {exc.strerror}") from exc
    typer.echo(_summary(outcome, output))


def _write_to_pipe(exports: Opening, request: ExportRequest) -> None:
    from queries.export.stream import stream

    with exports.open(request) as opened:
        for chunk in stream(opened):
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _show(status: Status, rows: int) -> None:
    status.update(f"Exporting: {rows:,} rows")


def _summary(outcome: Outcome, output: Path) -> str:
    manifest = outcome.manifest
    if outcome.was_finished:
        return f"{output} is finished already: {manifest.rows} rows"
    went_on = f", {outcome.went_on} of them before it was cut off" if outcome.went_on else ""
    return f"exported {manifest.rows} rows as of position {manifest.snapshot.as_of_position} to {output}{went_on}"


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
        raise RejectedError(Reason.INVALID_FIELD, "give COLUMN=VALUE", field="--where")
    return name, value
