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
    from queries.summaries.followers import list_followers

    with (
        closing(open_database(load(), Pool.FORWARDER)) as database,
        database.transaction(read_only=True) as connection,
    ):
        found = list_followers(connection)
    table = Table(box=None)
    for column in ("name", "receiver", "state", "position", "behind", "sent", "last sent"):
        table.add_column(column, no_wrap=True)
    table.add_column("problem")
    for each in found:
        table.add_row(*map(plain, _cells(each)))
    out.print(table)


def _cells(status: FollowerStatus) -> tuple[str, ...]:
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
        f"{status.problem or ''}{since}",
    )


@app.command()
def pause(name: Name, by: By, reason: Why) -> None:
    """Let a follower stand still after its request in hand, and record that in the trail."""
    _decide(name, lambda registry, who, why: registry.pause(name, who, why), by, reason, "is paused")


@app.command()
def resume(name: Name, by: By, reason: Why) -> None:
    """Let a paused follower go on where it stopped, and record that in the trail."""
    _decide(name, lambda registry, who, why: registry.resume(name, who, why), by, reason, "goes on")


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
        lambda registry, who, why: registry.skip(name, position, who, why),
        by,
        reason,
        f"leaves out position {position}",
    )


def _decide(name: str, decide: Callable[[Registry, str, str], None], by: str, reason: str, done: str) -> None:
    """Store a decision and publish its event. Without Kafka a running `forward` publishes it later."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.forwarding.process import reported
    from audit_trail.settings import load
    from forwarding.forwarder import publish_decisions
    from forwarding.registry import Registry

    by, reason = decision_text(by, "--by", 256), decision_text(reason, "--reason", 65_536)
    settings = load()
    with closing(open_database(settings, Pool.FORWARDER)) as database:
        registry = Registry(database)
        decide(registry, by, reason)
        try:
            with reported(settings) as report:
                publish_decisions(registry, report, name)
        except UnavailableError as exc:
            raise UnavailableError(
                f"the follower {name} {done}, and the trail does not have that yet: {exc}. A running"
                " `audit-trail forward run` publishes it; until then the follower sends nothing"
            ) from exc
    typer.echo(f"the follower {name} {done}, and the trail has that")
