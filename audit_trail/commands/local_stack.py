"""`audit-trail demo` and `up`: every part on this machine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from audit_trail.commands.terminal import out

Broker = Annotated[
    Literal["embedded", "kafka"],
    typer.Option(
        help="Which broker to start when none is configured: a small one in memory, or Apache Kafka (Java 17, Maven)."
    ),
]


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Stop after printing, instead of staying up until Ctrl-C.")
    ] = False,
    broker: Broker = "embedded",
    events: Annotated[
        int, typer.Option(min=200, max=1_000_000, help="How many events the simulated clinic sends.")
    ] = 3000,
) -> None:
    """Start everything in a temporary folder, send it a simulated hour of a clinic, and show what it answers."""
    from audit_trail.demo import run as demonstration
    from audit_trail.settings import load

    demonstration.run(load(), once=once, broker=broker, events=events, out=out)


def up(
    data: Annotated[Path, typer.Option(help="The folder that keeps the data.")] = Path("audit-trail-data"),
    broker: Broker = "embedded",
) -> None:
    """Run the whole stack on this machine, with its data kept in a folder, until Ctrl-C."""
    from audit_trail.environment import FILE_VARIABLE, PREFIX
    from audit_trail.settings import load
    from audit_trail.stack import Stack, stay_up
    from domain.errors import ConfigurationError

    file = os.environ.get(FILE_VARIABLE)
    if file is not None and Path(file).resolve() == data.resolve() / "settings.toml":
        # An earlier `up` wrote this file. The services that it names may be gone.
        del os.environ[FILE_VARIABLE]
    settings = load()
    if settings.metrics_port:
        raise ConfigurationError(
            f"{PREFIX}METRICS_PORT is the port of one part, and `up` starts several: unset it"
        )
    with ExitStack() as running:
        with out.status("Starting database, broker, ingest, projectors and API"):
            stack = running.enter_context(Stack(settings, data.absolute(), broker))
        out.print(f"Dashboard   {stack.url}/")
        out.print(f"GraphiQL    {stack.url}/graphql")
        out.print(f"REST        {stack.url}/docs")
        out.print(
            f"Kafka       {','.join(stack.settings.kafka_bootstrap_servers)}, topic {stack.settings.kafka_topics[0]}"
        )
        out.print(f"Data, logs  {stack.folder}")
        out.print(
            f"For other commands: export {FILE_VARIABLE}={stack.folder / 'settings.toml'}", soft_wrap=True
        )
        if broker == "embedded" and not settings.kafka_bootstrap_servers:
            out.print(
                "The embedded broker forgets messages at a stop; what was ingested is kept. --broker kafka keeps both."
            )
        if stack.issues_tokens:
            out.print(f"A token     audit-trail token --role auditor --data {stack.folder}", soft_wrap=True)
        if stack.standing_still:
            out.print(f"Not ready   {stack.standing_still}", markup=False, soft_wrap=True)
        out.print("Ctrl-C stops everything.")
        stay_up(stack)
