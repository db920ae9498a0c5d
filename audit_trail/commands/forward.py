"""`audit-trail forward`: the followers that send the log elsewhere, and what operators decide about them."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from audit_trail.commands.terminal import decision_text, out, plain
from audit_trail.runtime.signals import FORWARD_STOP_SECONDS, on_stop_within
from domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from event_store.database import Database
    from forwarding.refusals import Refusals
    from forwarding.registry import Registry
    from queries.summaries.results import FollowerStatus

app = typer.Typer(
    help="Followers that send the log to other systems: run them, test a receiver, see and steer them.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="The follower's name in the file.")]
By = Annotated[str, typer.Option(help="Who decides.")]
Why = Annotated[str, typer.Option(help="Why; kept in the trail for ever.")]


@app.command()
def run() -> None:
    """Send the log to the receivers that AUDIT_TRAIL_FORWARDING_FILE names, until SIGTERM.

    A second process is a standby.
    """
    from audit_trail.forwarding.process import forward
    from audit_trail.runtime.start import long_running

    forward(*long_running("forward"), partial(on_stop_within, FORWARD_STOP_SECONDS))


@app.command()
def test(name: Name) -> None:
    """Send one test message to a follower's receiver, and say what happened. It is no event of the trail.

    It changes no checkpoint, and needs no process that forwards.
    """
    from audit_trail.forwarding.process import send_probe
    from audit_trail.settings import load

    typer.echo(send_probe(load(), name))


@app.command()
def status() -> None:
    """List the followers: where each sends, how far it is, how far behind, and why it stands still."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from forwarding.refusals import Refusals
    from queries.summaries.followers import list_followers

    with closing(open_database(load(), Pool.FORWARDER)) as database:
        with database.transaction(read_only=True) as connection:
            found = list_followers(connection)
        kept = Refusals(database).counts()
    table = Table(box=None)
    for column in ("name", "receiver", "state", "position", "behind", "sent", "last sent"):
        table.add_column(column, no_wrap=True)
    table.add_column("problem")
    for each in found:
        table.add_row(*map(plain, _cells(each, kept.get(each.name, 0))))
    out.print(table)


@app.command()
def refused(name: Annotated[str | None, typer.Argument(help="One follower; by default all.")] = None) -> None:
    """List the records that receivers refused for good and that wait for a decision: requeue or dismiss them."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from forwarding.refusals import Refusals

    with closing(open_database(load(), Pool.FORWARDER)) as database:
        found = Refusals(database).open(name)
    table = Table(box=None)
    for column in ("follower", "position", "refused", "attempts", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("reason")
    for each in found:
        state = "waits" if each.requeued_at is None else "requeued"
        at = f"{each.refused_at:%Y-%m-%d %H:%M:%S}"
        cells = each.follower, str(each.position), at, str(each.attempts), state, each.reason
        table.add_row(*map(plain, cells))
    out.print(table)


def _cells(status: FollowerStatus, kept: int) -> tuple[str, ...]:
    from forwarding.forwarder import kept_text

    behind = f"{status.lag} events, {status.lag_seconds:.0f} s" if status.lag else "up to date"
    since = "" if status.problem_since is None else f" (since {status.problem_since:%Y-%m-%d %H:%M:%S})"
    return (
        status.name,
        status.destination,
        status.state.value,
        str(status.position),
        behind,
        str(status.sent),
        "never" if status.sent_at is None else f"{status.sent_at:%Y-%m-%d %H:%M:%S}",
        "; ".join(
            text for text in (f"{status.problem or ''}{since}", kept_text(kept) if kept else "") if text
        ),
    )


@app.command()
def pause(name: Name, by: By, reason: Why) -> None:
    """Let a follower stand still after its request in hand, and record that in the trail."""
    _decide(
        name, lambda database, who, why: _registry(database).pause(name, who, why), by, reason, "is paused"
    )


@app.command()
def resume(name: Name, by: By, reason: Why) -> None:
    """Let a paused follower go on where it stopped, and record that in the trail."""
    _decide(
        name, lambda database, who, why: _registry(database).resume(name, who, why), by, reason, "goes on"
    )


@app.command()
def skip(
    name: Name,
    position: Annotated[int, typer.Argument(min=0, help="The position that `forward status` shows.")],
    by: By,
    reason: Why,
) -> None:
    """Leave out the record that the receiver refuses, and record that in the trail.

    The next record names the skipped one as the one before it: so the receiver sees that one is missing.
    """
    _decide(
        name,
        lambda database, who, why: _registry(database).skip(name, position, who, why),
        by,
        reason,
        f"leaves out position {position}",
    )


Kept = Annotated[int, typer.Argument(min=0, help="The position that `forward refused` shows.")]


@app.command()
def requeue(name: Name, position: Kept, by: By, reason: Why) -> None:
    """Send a refused record again, and record that in the trail."""
    _decide(
        name,
        lambda database, who, why: _refusals(database).requeue(name, position, who, why),
        by,
        reason,
        f"sends position {position} again",
    )


@app.command()
def dismiss(name: Name, position: Kept, by: By, reason: Why) -> None:
    """Leave a refused record out for ever, and record that in the trail."""
    _decide(
        name,
        lambda database, who, why: _refusals(database).dismiss(name, position, who, why),
        by,
        reason,
        f"leaves out position {position}",
    )


def _registry(database: Database) -> Registry:
    from forwarding.registry import Registry

    return Registry(database)


def _refusals(database: Database) -> Refusals:
    from forwarding.refusals import Refusals

    return Refusals(database)


def _decide(name: str, decide: Callable[[Database, str, str], None], by: str, reason: str, done: str) -> None:
    """Store a decision and publish its event. Without Kafka a running `forward` publishes it later."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.forwarding.process import reported
    from audit_trail.settings import load
    from forwarding.forwarder import publish_decisions

    by, reason = decision_text(by, "--by", 256), decision_text(reason, "--reason", 65_536)
    settings = load()
    with closing(open_database(settings, Pool.FORWARDER)) as database:
        decide(database, by, reason)
        try:
            with reported(settings) as report:
                publish_decisions(_registry(database), report, name)
        except UnavailableError as exc:
            raise UnavailableError(
                f"the follower {name} {done}, and the trail does not have that yet: {exc}. A running"
                " `audit-trail forward run` publishes it; until then the follower sends nothing"
            ) from exc
    typer.echo(f"the follower {name} {done}, and the trail has that")
