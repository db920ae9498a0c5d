"""The command line. Each long-running part is a process of its own; `up` and `demo` run them together.

Exit codes: 0 done, 1 the input was refused, 2 a setting or an argument has to be changed, 3 the log is inconsistent and
nothing is written, 4 nothing is wrong, but only by keys from the database itself, 75 a service is away (try again),
130 interrupted. 128 + the signal's number: it was told to stop, did not in time, and was ended as it stood, which loses
nothing.

A command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.table import Table

from audit_trail import components, logs
from audit_trail.commands import (
    access,
    dead_letters,
    export,
    findings,
    graphql,
    keys,
    offsets,
    projections,
    tokens,
)
from audit_trail.commands.evidence import evidence
from audit_trail.commands.health import health
from audit_trail.commands.long_running import (
    BATCH_SECONDS,
    GUARD_STOP_SECONDS,
    METRICS_SECONDS,
    interrupted_by_signals,
    long_running,
    on_stop,
    on_stop_within,
)
from audit_trail.commands.terminal import out
from audit_trail.commands.verify import verify
from audit_trail.commands.witness import witness
from audit_trail.settings import FILE_VARIABLE, PREFIX, Settings, load
from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    FencedError,
    LogInconsistentError,
    ProofError,
    RejectedError,
    UnavailableError,
)

EXIT_CODES: tuple[tuple[type[AuditTrailError], int], ...] = (
    (RejectedError, 1),
    (ProofError, 1),
    (ConfigurationError, 2),
    (LogInconsistentError, 3),
    (FencedError, 75),
    (UnavailableError, 75),
)

app = typer.Typer(
    name="audit-trail",
    help="The tamper-evident record of who did what to which patient, device and service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(findings.app, name="findings")
app.add_typer(offsets.app, name="offsets")
app.add_typer(projections.app, name="projections")
app.add_typer(keys.app, name="keys")
app.add_typer(graphql.app, name="graphql")
app.add_typer(tokens.app, name="tokens")
app.add_typer(access.app, name="access")
app.command()(tokens.token)
app.command()(verify)
app.command()(witness)
app.command()(evidence)
app.command()(health)
app.add_typer(export.app)  # no name: a command of its own

Broker = Annotated[
    Literal["embedded", "kafka"],
    typer.Option(
        help="Which broker to start when none is configured: a small one in memory, or Apache Kafka (Java 17, Maven)."
    ),
]


def main() -> NoReturn:
    """Run a command; an error that is ours becomes one line on standard error and its exit code."""
    interrupted_by_signals()
    try:
        code = app(standalone_mode=False)
    except AuditTrailError as exc:
        _fail(str(exc), next(code for kind, code in EXIT_CODES if isinstance(exc, kind)))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone: nobody is left to tell
        sys.exit(1)
    except OSError as exc:
        _fail(f"{exc.strerror or type(exc).__name__}{f': {exc.filename}' if exc.filename else ''}", 2)
    except typer._click.exceptions.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    finally:
        on_stop(
            lambda: None
        )  # it ends already, and waits for its threads: no signal is to interrupt that with a traceback
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"audit-trail: {message}\n")
    sys.exit(code)


@app.command()
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

    demonstration.run(load(), once=once, broker=broker, events=events, out=out)


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="The folder that keeps the data.")] = Path("audit-trail-data"),
    broker: Broker = "embedded",
) -> None:
    """Run the whole stack on this machine, with its data kept in a folder, until Ctrl-C."""
    from audit_trail.stack import Stack, stay_up

    file = os.environ.get(FILE_VARIABLE)
    if file is not None and Path(file).resolve() == data.resolve() / "settings.toml":
        del os.environ[FILE_VARIABLE]  # what `up` wrote says where the last one was, which may have gone
    settings = load()
    with ExitStack() as running:
        with out.status("Starting database, broker, ingest, projectors and API"):
            stack = running.enter_context(Stack(settings, data.absolute(), broker))
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
        out.print("Ctrl-C stops everything.")
        stay_up(stack)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema. Safe to run again, and at the same time from several places."""
    from event_store.migrations import migrate as run

    applied = run(load().require_database_url())
    for name in applied:
        typer.echo(f"applied {name}")
    if not applied:
        typer.echo("the database is up to date")


@app.command()
def ingest() -> None:
    """Read from Kafka and append to the event store, until SIGTERM."""
    from audit_trail import trust
    from ingest.pipeline import Ingest

    settings, monitor = long_running()
    database = components.ingest_database(settings)
    ingest = Ingest(
        components.ingest_settings(settings),
        database,
        trust.signer(settings),
        check=lambda: trust.check_log(settings, database),
    )
    monitor.watch(ingest.problems)
    on_stop(ingest.stop)
    ingest.run(linger_seconds=METRICS_SECONDS if settings.metrics_port else 0)


@app.command()
def project() -> None:
    """Keep the read models up to date, until SIGTERM. A second process is a standby."""
    from projections.metrics import RunnerMetrics
    from projections.registry import built_in
    from projections.runner import Runner

    settings, monitor = long_running()
    runner = Runner(
        components.projector_database(settings, long_statements=False),
        built_in(),
        batch=settings.projection_batch,
        metrics=RunnerMetrics(),
    )
    monitor.watch(runner.health.problems, runner.health.state)
    on_stop_within(BATCH_SECONDS, runner.stop)
    runner.run()


@app.command()
def guard() -> None:
    """Publish signed heads outside the database and verify the log again and again, until SIGTERM."""
    from audit_trail.guard.process import guard as run

    run(*long_running(), partial(on_stop_within, GUARD_STOP_SECONDS))


@app.command()
def serve() -> None:
    """Answer GraphQL and REST, until SIGTERM."""
    from audit_trail.serving import serve as run

    settings = load()
    logs.configure(settings)
    on_stop(lambda: None)  # uvicorn has its own handlers, and raises the signal again once it has stopped
    run(settings)


@app.command()
def publish(
    files: Annotated[
        list[Path], typer.Argument(help="JSON, NDJSON or FHIR files.", exists=True, dir_okay=False)
    ],
    topic: Annotated[
        str, typer.Option(help="Another topic than the first of AUDIT_TRAIL_KAFKA_TOPICS.")
    ] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Each file is one message, whatever is in it.")] = False,
) -> None:
    """Publish the events of files to Kafka: all of them, or none when a file can't be read.

    A file may have 64 MiB, and all files together 256 MiB.
    """
    from audit_trail.event_files import MOST_BYTES, messages_of
    from event_store.files.folders import read_input
    from ingest.publisher import Message, Publisher

    settings = load()
    target = topic or settings.kafka_topics[0]
    values: list[bytes] = []
    left = 4 * MOST_BYTES
    for file in files:
        for value in [read_input(file, MOST_BYTES)] if raw else messages_of(file):
            values.append(value)
            left -= len(value)
            if left < 0:
                raise ConfigurationError(
                    f"the files have more than {4 * MOST_BYTES} bytes together: publish them in several calls"
                )
    with closing(Publisher(components.ingest_settings(settings))) as publisher:
        publisher.publish(Message(target, None, value) for value in values)
    typer.echo(f"published {len(values)} messages to {target}")


@app.command("settings")
def show_settings() -> None:
    """List every setting with its default and help."""
    table = Table("variable", "default", "what it does", box=None)
    for name, field in Settings.model_fields.items():
        default = (
            ""
            if field.default in (None, ())
            else str(field.default if not isinstance(field.default, tuple) else ",".join(field.default))
        )
        table.add_row(PREFIX + name.upper(), default, field.description)
    out.print(table)
