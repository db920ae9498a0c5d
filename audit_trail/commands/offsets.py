"""`audit-trail offsets`: records that Kafka lost before they were read, or can't give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from audit_trail.commands.terminal import out, plain
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from audit_trail.settings import Settings
    from event_store.gaps import Move
    from ingest.partitions.offsets import OffsetDesk

app = typer.Typer(
    help="Records that Kafka lost before they were read, or can't give: list the losses, and accept them.",
    no_args_is_help=True,
)


@app.command("list")
def list_losses() -> None:
    """Compare the store's offsets with Kafka, and list the losses. It changes nothing.

    It reads every unread batch in Kafka, so a long lag takes a while. It lists a damaged batch only when ingest has
    reached it, and reads nothing after it.
    """
    from audit_trail.settings import load

    with _desk(load()) as desk:
        _show(desk.losses())


@app.command()
def accept(
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the log for ever.")],
    topic: Annotated[str | None, typer.Option(help="Only the losses of this topic.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only those of this partition of it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All losses.")] = False,
) -> None:
    """Accept that records are lost, so that ingest can go on. Each loss becomes an event of the log.

    It shows the losses and accepts exactly those. If Kafka or the store changes meanwhile, nothing is accepted.
    """
    from audit_trail.settings import load
    from audit_trail.trust.keys import signer
    from domain.recording_gap import Decision
    from ingest.own_source import own_source
    from ingest.partitions.offsets import LossSelection
    from ingest.partitions.starting_offsets import Acceptance

    if everything == (topic is not None) or (partition is not None and topic is None):
        raise ConfigurationError("say what to accept: --topic, --topic with --partition, or --all")
    settings = load()
    acceptance = Acceptance(Decision.of(by, reason), own_source(), signer(settings))
    selected = LossSelection(topic, partition)
    with _desk(settings) as desk:
        found = desk.losses()
        _show([move for move in found if selected.includes(move)])
        accepted = desk.accept(found, selected, acceptance) if found else []
    if accepted:
        typer.echo(f"accepted: {len(accepted)}, each recorded in the log as a recording.gap event")


def _desk(settings: Settings) -> OffsetDesk:
    from audit_trail.databases import Pool, open_database
    from audit_trail.ingest_settings import ingest_settings
    from ingest.partitions.offsets import OffsetDesk

    return OffsetDesk(ingest_settings(settings), open_database(settings, Pool.INGEST))


def _show(moves: Sequence[Move]) -> None:
    if not moves:
        typer.echo("no records are lost: Kafka has those that are read next")
        return
    table = Table(box=None)
    for column in ("topic/partition", "cause", "first", "last", "records", "continue at", "topic id"):
        table.add_column(column, no_wrap=True)
    for gap in (move.gap for move in moves):
        last, count = gap.last_lost_offset, gap.count
        cells = (
            f"{gap.topic}/{gap.partition}",
            gap.cause.value,
            str(gap.first_lost_offset),
            "unknown" if last is None else str(last),
            "unknown" if count is None else str(count),
            str(gap.continued_from),
            str(gap.topic_id),
        )
        table.add_row(*map(plain, cells))
    out.print(table)
