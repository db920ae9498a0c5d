"""`audit-trail export`: events, or rows of a read model, into a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.status import Status

from audit_trail import components
from audit_trail.commands.terminal import Unrecorded, moment, out
from audit_trail.settings import load
from domain.errors import ConfigurationError, Reason, RejectedError, UnavailableError

if TYPE_CHECKING:
    from audit_trail.export.file import Outcome
    from queries.export.pipeline import Exports
    from queries.export.record import ExportRecord
    from queries.export.request import ExportRequest

app = typer.Typer()

_STANDARD_OUTPUT = "-"
_EVENTS = "Which events"


def _text(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=_EVENTS)


def _list(help: str) -> Any:
    return typer.Option(help=f"{help}; may be repeated.", rich_help_panel=_EVENTS)


@app.command()
def export(
    output: Annotated[
        Path,
        typer.Argument(
            help="The file to make; its manifest gets the same name and .manifest.json. - is a pipe."
        ),
    ],
    format: Annotated[
        Literal["ndjson", "csv", "parquet"] | None,
        typer.Option(help="The format; by default what the file's name ends in."),
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
        typer.Option("--resume", help="Go on with an export that was cut off; begin when there is none."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    actor: Annotated[list[str] | None, _list("The id of the actor, of whatever kind")] = None,
    patient: Annotated[list[str] | None, _list("The id of a patient")] = None,
    user: Annotated[list[str] | None, _list("The id of the user who acted")] = None,
    device: Annotated[list[str] | None, _list("The id of the device")] = None,
    service: Annotated[list[str] | None, _list("The reporting service")] = None,
    resource_type: Annotated[str | None, _text("The type of a resource that was touched.")] = None,
    resource_id: Annotated[str | None, _text("The id of a resource; needs --resource-type.")] = None,
    type: Annotated[list[str] | None, _list("Event types")] = None,
    category: Annotated[list[str] | None, _list("Categories")] = None,
    action: Annotated[list[str] | None, _list("Actions: C, R, U, D, E")] = None,
    outcome: Annotated[list[str] | None, _list("Outcomes")] = None,
    purpose: Annotated[list[str] | None, _list("Purposes of use")] = None,
    source: Annotated[str | None, _text("The reporting service, beside --service.")] = None,
    correlation_id: Annotated[list[str] | None, _list("The correlation id")] = None,
    session: Annotated[list[str] | None, _list("The session")] = None,
    address: Annotated[list[str] | None, _list("The client's network address")] = None,
    emergency: Annotated[
        bool | None,
        typer.Option("--emergency/--no-emergency", help="Emergency access or not.", rich_help_panel=_EVENTS),
    ] = None,
    occurred_from: Annotated[
        str | None, _text("Occurred then or later: a date (UTC) or a time with its offset.")
    ] = None,
    occurred_until: Annotated[str | None, _text("Occurred before then.")] = None,
    type_prefix: Annotated[str | None, _text("The event type begins with this, such as record.")] = None,
    actor_prefix: Annotated[str | None, _text("The actor's id begins with this.")] = None,
    address_prefix: Annotated[str | None, _text("The client's network address begins with this.")] = None,
    position_from: Annotated[int | None, _text("Recorded at this position or later.")] = None,
    position_until: Annotated[int | None, _text("Recorded before this position.")] = None,
    unrecorded: Unrecorded = None,
) -> None:
    """Export events, or a read model's rows, to NDJSON, CSV or Parquet, with a manifest. It is personal data.

    All that is given must hold; of an option that is repeated, one value must match. The filters are those of the API.
    The export itself is put on record, through Kafka.
    """
    from audit_trail.read_audit import CommandRecord
    from queries.export.manifest import query_of
    from queries.export.pipeline import Exports
    from queries.export.request import ExportRequest, Format
    from queries.filters import EventFilter, any_of

    with _named_options():
        request = ExportRequest(
            format=Format(format or _format_of(output)),
            table=table,
            where=tuple(_pair(text) for text in where or ()),
            filter=EventFilter(
                resource_type=resource_type,
                resource_id=resource_id,
                types=tuple(type or ()),
                categories=tuple(category or ()),
                actions=tuple(action or ()),
                outcomes=tuple(outcome or ()),
                purposes=tuple(purpose or ()),
                source=source,
                emergency=emergency,
                occurred_from=None if occurred_from is None else moment("--occurred-from", occurred_from),
                occurred_until=None if occurred_until is None else moment("--occurred-until", occurred_until),
                type_prefix=type_prefix,
                actor_prefix=actor_prefix,
                address_prefix=address_prefix,
                position_from=position_from,
                position_until=position_until,
                **any_of(
                    actor=actor,
                    patient=patient,
                    user=user,
                    device=device,
                    service=service,
                    correlation_id=correlation_id,
                    session=session,
                    address=address,
                ),
            ),
        )
        settings = load()
        with (
            closing(components.export_database(settings)) as database,
            CommandRecord(settings, "export", query_of(request), unrecorded) as record,
        ):
            exports = Exports(database)
            if str(output) != _STANDARD_OUTPUT:
                _write_to_file(exports, request, record, output, resume=resume, force=force)
            elif resume or force:
                raise ConfigurationError("a pipe can't be resumed or replaced: name a file")
            else:
                _write_to_pipe(exports, request, record)


@contextmanager
def _named_options() -> Iterator[None]:
    """Name the option, not the field of the filter, in errors."""
    try:
        yield
    except RejectedError as exc:
        raise RejectedError(exc.reason, exc.message, field=_option(exc.field)) from exc


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
    typer.echo(_says(outcome, output))


def _write_to_pipe(exports: Exports, request: ExportRequest, record: ExportRecord) -> None:
    from queries.export.stream import stream

    with exports.open(request, record=record) as export:
        for chunk in stream(export):
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _show(status: Status, rows: int) -> None:
    status.update(f"Exporting: {rows:,} rows")


def _says(outcome: Outcome, output: Path) -> str:
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
        raise RejectedError(Reason.INVALID_FIELD, "give COLUMN=VALUE", field="--where")
    return name, value


def _option(field: str) -> str:
    from queries.export.manifest import RENAMED

    return (
        f"--{RENAMED.get(field, field).replace('_', '-')}" if field and not field.startswith("--") else field
    )
