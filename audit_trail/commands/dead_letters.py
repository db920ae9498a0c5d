"""`audit-trail dead-letters`: messages that could not be accepted."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from audit_trail.commands.terminal import Unrecorded, out, plain, quoted, visible

if TYPE_CHECKING:
    from event_store.dead_letters import Cut, DeadLetter
    from ingest.dead_letters import DeadLetterDesk

app = typer.Typer(
    help="Messages that could not be accepted: list them, show them, publish them again.",
    no_args_is_help=True,
)
Id = Annotated[int, typer.Argument(help="The id that `dead-letters list` shows.")]


@app.command("list")
def list_dead_letters(
    after: Annotated[int, typer.Option(help="Only those after this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most rows.")] = 100,
) -> None:
    """List dead letters: where they came from, why they were refused, and what was decided."""
    with _desk() as desk:
        rows = desk.page(after=after, limit=limit)
    table = Table(box=None)
    for column in ("id", "received", "topic/partition/offset", "reason", "field"):
        table.add_column(column, no_wrap=True)
    table.add_column("message")
    table.add_column("state", no_wrap=True)
    for letter, state, _, _ in rows:
        last = "" if letter.last_offset is None else f"-{letter.last_offset}"
        place = f"{letter.topic}/{letter.partition}/{letter.offset}{last}"
        received = f"{letter.received_at:%Y-%m-%d %H:%M:%S}"
        cells = (
            str(letter.id),
            received,
            place,
            letter.reason.value,
            quoted(letter.field) if letter.field else "",
            letter.message,
            state.value,
        )
        table.add_row(*map(plain, cells))
    out.print(table)
    if len(rows) == limit:
        out.print(f"more: --after {rows[-1].letter.id}")


@app.command("show")
def show_dead_letter(
    id: Id,
    value: Annotated[
        bool, typer.Option("--value", help="Write the message's bytes and nothing else.")
    ] = False,
    unrecorded: Unrecorded = None,
) -> None:
    """Show one dead letter: the message, its headers and its Kafka coordinates. It may hold patient data.

    Only the beginning of a large message is kept. A batch that could not be read is kept as Kafka has it.

    The access is recorded in the trail, through Kafka.
    """
    from audit_trail.commands.access_record import CommandRecord
    from audit_trail.ingest_settings import systems
    from audit_trail.settings import load
    from ingest.dead_letters import patients_named

    with _desk() as desk:
        letter, state, by, reason = desk.show(id)
    settings = load()
    with CommandRecord(settings, "dead-letters show", {"id": id}, unrecorded) as record:
        record.showing(1, patients_named(letter, systems(settings)))
    if value:
        sys.stdout.buffer.write(letter.value or b"")
        if letter.value_cut is not None:
            note = f"only the beginning of {letter.value_cut.size} bytes is kept"
            typer.echo(f"audit-trail: {note}", err=True)
        return
    decided = f"{state} by {quoted(by)}: {quoted(reason)}" if by else state.value
    for name, text in {
        "id": letter.id,
        "received": letter.received_at.isoformat(),
        "topic": quoted(letter.topic),
        "partition": letter.partition,
        "offset": letter.offset,
        **_batch(letter),
        "timestamp": letter.timestamp.isoformat() if letter.timestamp else "",
        "reason": letter.reason.value,
        "field": quoted(letter.field) if letter.field else "",
        "message": letter.message,
        "state": decided,
        "key": letter.key,
        **_missing("key", letter.key_cut),
        "headers": letter.headers,
        **_missing("headers", letter.headers_cut),
        "value": letter.value,
        **_missing("value", letter.value_cut),
    }.items():
        typer.echo(f"{name:10} {visible(str(text))}")


def _batch(letter: DeadLetter) -> dict[str, object]:
    """The lines about a batch that could not be read. A message has none."""
    if letter.batch is None:
        return {}
    last, codec, count = letter.batch
    return {"to offset": last, "codec": codec, "records": "not known" if count is None else count}


def _missing(part: str, cut: Cut | None) -> dict[str, object]:
    """The line about a part of which only the beginning is kept. A whole part has none."""
    if cut is None:
        return {}
    return {f"{part} cut": f"only the beginning is kept of {cut.size} bytes, SHA-256 {cut.sha256.hex()}"}


Decision = Annotated[str, typer.Option(help="Who decides.")]
Why = Annotated[str, typer.Option(help="Why; kept in the log for ever.")]


@app.command()
def requeue(id: Id, by: Decision, reason: Why) -> None:
    """Publish the message again unchanged, so that ingest reads it again, and record the decision.

    It refuses a batch, and a message of which only the beginning is kept.
    """
    from audit_trail.ingest_settings import ingest_settings
    from audit_trail.settings import load
    from ingest.dead_letters import publishing
    from ingest.publisher import Publisher

    settings = load()
    publisher = Publisher(ingest_settings(settings))

    try:
        with _desk(decides=True) as desk:
            desk.requeue(id, publishing(publisher), by=by, reason=reason)
    finally:
        publisher.close()
    typer.echo(f"dead letter {id} was published again")


@app.command()
def dismiss(id: Id, by: Decision, reason: Why) -> None:
    """Record the decision that this message stays out of the trail."""
    with _desk(decides=True) as desk:
        desk.dismiss(id, by=by, reason=reason)
    typer.echo(f"dead letter {id} was dismissed")


def _desk(*, decides: bool = False) -> closing[DeadLetterDesk]:
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from audit_trail.trust.keys import key_text
    from ingest.dead_letters import DeadLetterDesk

    settings = load()
    key = key_text(settings) if decides else ""
    return closing(DeadLetterDesk(open_database(settings, Pool.INGEST), settings.require_database_url(), key))
