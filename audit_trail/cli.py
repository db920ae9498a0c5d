"""The command line. Each long-running part is a process of its own; `up` and `demo` run them together.

Exit codes: 0 done, 1 the input was refused, 2 a setting or an argument has to be changed, 3 the log is inconsistent and
nothing is written, 75 a service is away (try again), 130 interrupted.

A command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from audit_trail import components, logs
from audit_trail.settings import FILE_VARIABLE, PREFIX, Settings, load
from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    FencedError,
    LogInconsistentError,
    RejectedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from ingest.dead_letters import DeadLetterDesk

EXIT_CODES: tuple[tuple[type[AuditTrailError], int], ...] = (
    (RejectedError, 1),
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
dead_letters = typer.Typer(
    help="Messages that could not be accepted: look at them, put them through again.", no_args_is_help=True
)
projections = typer.Typer(help="The read models.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(projections, name="projections")

out = Console(width=None if sys.stdout.isatty() else 1000)  # for a pipe, one row is one line
Id = Annotated[int, typer.Argument(help="The id that `dead-letters list` shows.")]
Broker = Annotated[
    Literal["embedded", "kafka"],
    typer.Option(
        help="Which broker to start when none is configured: a small one in memory, or Apache Kafka (Java 17, Maven)."
    ),
]


def main() -> NoReturn:
    """Run a command; an error that is ours becomes one line on standard error and its exit code."""
    try:
        code = app(standalone_mode=False)
    except AuditTrailError as exc:
        _fail(str(exc), next(code for kind, code in EXIT_CODES if isinstance(exc, kind)))
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone: nobody is left to tell
        sys.exit(1)
    except typer._click.exceptions.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
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
    from audit_trail import demo as demonstration

    _stop_on_sigterm()
    demonstration.run(load(), once=once, broker=broker, events=events, out=out)


@app.command()
def up(
    data: Annotated[Path, typer.Option(help="The folder that keeps the data.")] = Path("audit-trail-data"),
    broker: Broker = "embedded",
) -> None:
    """Run the whole stack on this machine, with its data kept in a folder, until Ctrl-C."""
    from audit_trail.stack import Stack, stay_up

    _stop_on_sigterm()
    settings = load()
    with ExitStack() as running:
        with out.status("Starting database, broker, ingest, projectors and API"):
            stack = running.enter_context(Stack(settings, data.resolve(), broker))
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
    from ingest.pipeline import Ingest

    settings = _long_running()
    database = components.ingest_database(settings)
    ingest = Ingest(components.ingest_settings(settings), database)
    _on_stop(ingest.stop)
    ingest.run()


@app.command()
def project() -> None:
    """Keep the read models up to date, until SIGTERM. A second process is a standby."""
    from projections.registry import built_in
    from projections.runner import Runner

    settings = _long_running()
    runner = Runner(components.projector_database(settings), built_in(), batch=settings.projection_batch)
    _on_stop(runner.stop)
    runner.run()


@app.command()
def serve() -> None:
    """Answer GraphQL and REST, until SIGTERM."""
    from audit_trail.serving import serve as run

    settings = load()
    logs.configure(settings)
    _on_stop(lambda: None)  # uvicorn has its own handlers, and raises the signal again once it has stopped
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
    """Publish the events of files to Kafka: all of them, or none when a file can't be read."""
    from audit_trail.files import messages_of
    from ingest.publishing import Message, Publisher

    settings = load()
    target = topic or settings.kafka_topics[0]
    values = [value for file in files for value in ([file.read_bytes()] if raw else messages_of(file))]
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


@dead_letters.command("list")
def list_dead_letters(
    after: Annotated[int, typer.Option(help="Only those behind this id.")] = 0,
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
        place = f"{letter.topic}/{letter.partition}/{letter.offset}"
        received = f"{letter.received_at:%Y-%m-%d %H:%M:%S}"
        cells = (
            str(letter.id),
            received,
            place,
            letter.reason.value,
            letter.field,
            letter.message,
            state.value,
        )
        table.add_row(*map(_plain, cells))
    out.print(table)
    if len(rows) == limit:
        out.print(f"more: --after {rows[-1].letter.id}")


@dead_letters.command("show")
def show_dead_letter(
    id: Id,
    value: Annotated[
        bool, typer.Option("--value", help="Write the message's bytes and nothing else.")
    ] = False,
) -> None:
    """Show one dead letter whole: the message, its headers and its Kafka coordinates. It may hold patient data."""
    with _desk() as desk:
        letter, state, by, reason = desk.show(id)
    if value:
        sys.stdout.buffer.write(letter.value or b"")
        return
    decided = f"{state} by {by}: {reason}" if by else state.value
    for name, text in {
        "id": letter.id,
        "received": letter.received_at.isoformat(),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp.isoformat() if letter.timestamp else "",
        "reason": letter.reason.value,
        "field": letter.field,
        "message": letter.message,
        "state": decided,
        "key": letter.key,
        "headers": letter.headers,
        "value": letter.value,
    }.items():
        typer.echo(f"{name:10} {_visible(str(text))}")


Decision = Annotated[str, typer.Option(help="Who decides.")]
Why = Annotated[str, typer.Option(help="Why; kept in the log for ever.")]


@dead_letters.command()
def requeue(id: Id, by: Decision, reason: Why) -> None:
    """Publish the message again as it was, so that ingest looks at it anew, and record the decision."""
    from event_store.dead_letters import DeadLetter
    from ingest.publishing import Message, Publisher

    settings = load()
    publisher = Publisher(components.ingest_settings(settings))

    def again(letter: DeadLetter) -> None:
        if letter.key is None and letter.value is None:
            raise ConfigurationError("a message with neither key nor value says nothing: dismiss it")
        publisher.publish([Message(letter.topic, letter.key, letter.value, letter.headers)])

    try:
        with _desk() as desk:
            desk.requeue(id, again, by=by, reason=reason)
    finally:
        publisher.close()
    typer.echo(f"dead letter {id} was published again")


@dead_letters.command()
def dismiss(id: Id, by: Decision, reason: Why) -> None:
    """Record the decision that this message stays out of the trail."""
    with _desk() as desk:
        desk.dismiss(id, by=by, reason=reason)
    typer.echo(f"dead letter {id} was dismissed")


@projections.command("list")
def list_projections() -> None:
    """List the read models: version, checkpoint, lag and state."""
    from projections.read_models import ReadModels

    database = components.reader_database(load())
    table = Table("name", "version", "position", "lag", "state", "error", box=None)
    for row in ReadModels(database).projections():
        cells = (row.name, str(row.version), str(row.position), str(row.lag), row.state, row.error or "")
        table.add_row(*map(_plain, cells))
    database.close()
    out.print(table)


_SHOWN = 200
"""Characters of one cell. A field's name can be as long as its sender likes."""


def _plain(text: str) -> Text:
    """A cell that says what it says: the words of a sender are neither markup nor orders to the terminal."""
    return Text(_visible(text if len(text) <= _SHOWN else text[:_SHOWN] + "..."))


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _desk() -> closing[DeadLetterDesk]:
    from ingest.dead_letters import DeadLetterDesk

    settings = load()
    return closing(DeadLetterDesk(components.ingest_database(settings), settings.require_database_url()))


def _long_running() -> Settings:
    from prometheus_client import start_http_server

    settings = load()
    logs.configure(settings)
    components.spare_the_collector()
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)
    return settings


def _on_stop(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def _stop_on_sigterm() -> None:
    """SIGTERM ends `up` and `demo` the way Ctrl-C does, so that nothing that they started is left behind.

    SIGINT is set too, since a shell hands a background job an ignored one.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
