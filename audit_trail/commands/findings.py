"""`audit-trail findings`: the guard's findings, and an operator's answer to them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from audit_trail.commands.terminal import decision_text, out, plain
from domain.errors import UnavailableError

if TYPE_CHECKING:
    from event_store.integrity_findings import StoredFinding

app = typer.Typer(
    help="The guard's findings: list them, and close one whose cause is explained.",
    no_args_is_help=True,
)
_MOST_ID = 2**63 - 1
_LONGEST_NAME = 256
_LONGEST_REASON = 65_536
Id = Annotated[int, typer.Argument(min=1, max=_MOST_ID, help="The id that `findings list` shows.")]


@app.command("list")
def list_findings(
    after: Annotated[int, typer.Option(min=0, max=_MOST_ID, help="Only those after this id.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most rows.")] = 100,
    closed: Annotated[bool, typer.Option("--closed", help="Also those that are closed.")] = False,
) -> None:
    """List the open findings: the check, the place, whether each is proved, and since when."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from event_store.integrity_findings import page_of_findings

    with (
        closing(open_database(load(), Pool.GUARD)) as database,
        database.transaction(read_only=True) as connection,
    ):
        found = page_of_findings(connection, after=after, limit=limit, closed=closed)
    table = Table(box=None)
    for column in ("id", "since", "check/place", "certainty", "state", "event"):
        table.add_column(column, no_wrap=True)
    table.add_column("what")
    for each in found:
        cells = (
            str(each.id),
            f"{each.first_seen:%Y-%m-%d %H:%M:%S}",
            f"{each.check}/{each.place}",
            each.certainty.value,
            _state(each),
            str(each.event_id),
            each.what if each.position is None else f"position {each.position}: {each.what}",
        )
        table.add_row(*map(plain, cells))
    out.print(table)
    if len(found) == limit:
        out.print(f"more: --after {found[-1].id}")


@app.command("close")
def close(
    id: Id,
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the trail for ever.")],
) -> None:
    """Close a finding whose cause is explained, and record the answer in the trail. Safe to run again.

    A cause that remains opens a new finding.
    """
    from audit_trail.databases import Pool, open_database
    from audit_trail.guard.events import ended_event, found_event
    from audit_trail.ingest_settings import ingest_settings
    from audit_trail.settings import load
    from domain.validation import encode_event
    from event_store.integrity_findings import close_finding, mark_answered, mark_reported
    from ingest.publisher import Message, Publisher

    by = decision_text(by, "--by", _LONGEST_NAME)
    reason = decision_text(reason, "--reason", _LONGEST_REASON)
    settings = load()
    topic = settings.kafka_topics[0]
    with closing(open_database(settings, Pool.GUARD)) as database:
        with database.transaction() as connection:
            finding = close_finding(connection, id, by, reason)
        if finding.answered_at is None:
            events = [ended_event(finding)]
            if finding.reported_at is None:  # an answer needs the event that it answers
                events.insert(0, found_event(finding))
            try:
                with closing(Publisher(ingest_settings(settings))) as publisher:
                    publisher.publish(
                        Message(topic, event.source.service.encode(), encode_event(event)) for event in events
                    )
            except UnavailableError as exc:
                raise UnavailableError(
                    f"finding {id} is closed, and the trail does not have the answer yet: {exc}."
                    " Run this again; a running guard publishes it too"
                ) from exc
            with database.transaction() as connection:
                mark_reported(connection, id)
                mark_answered(connection, id)
    typer.echo(f"finding {id} is closed, and the trail has the answer")


def _state(finding: StoredFinding) -> str:
    if finding.closed_at is None:
        return "open"
    at = f"{finding.closed_at:%Y-%m-%d %H:%M:%S}"
    if finding.closed_by is None:
        return f"its cause was gone at {at}"
    return f"closed at {at} by {finding.closed_by}: {finding.close_reason}"
