"""`audit-trail context`: tables of staff, patients and more, which the rules of detection know besides the log."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from audit_trail.commands.terminal import decision_text, out, plain, visible, wrong
from domain.errors import UnavailableError

if TYPE_CHECKING:
    from audit_trail.settings import Settings
    from detection.context.files.reading import Reading
    from detection.context.files.source import Tally
    from detection.context.version import StoredVersion
    from event_store.database import Database

app = typer.Typer(
    help="Tables of staff, patients, encounters and more, which rules of detection know besides the log.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="TABLE", help="Such as staff, patients or encounters.")]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="All files of the table, such as all pages.")
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="csv, fhir or scim; by default what the names say: .csv or .ndjson."),
]
Zone = Annotated[str, typer.Option(help="The time zone of times without an offset, such as Europe/Vienna.")]
Base = Annotated[
    str | None, typer.Option(help="The address of the FHIR server, for files that do not say it.")
]
Empty = Annotated[bool, typer.Option("--empty", help="Allow a table without rows.")]


@app.command()
def load(
    table: Name,
    files: Files,
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the trail for ever.")],
    format: Format = None,
    time_zone: Zone = "UTC",
    base: Base = None,
    empty: Empty = False,
) -> None:
    """Replace a table by the rows of files, as a new version, and record that in the trail.

    The version counts for events after that. Old versions stay: a rebuild of detection needs them.
    """
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load as settings_of
    from detection.context.files.source import Tally
    from detection.context.loading import canonical_rows
    from detection.context.storage import Decision, store_version

    by, reason = decision_text(by, "--by", 256), decision_text(reason, "--reason", 65_536)
    settings, tally = settings_of(), Tally()
    reading = _reading(settings, table, format, time_zone, base)
    decision = Decision(by, reason, reading.chosen(files))
    with closing(open_database(settings, Pool.CONTEXT)) as database:
        rows = canonical_rows(reading, files, tally, empty=empty)
        stored, new = store_version(database, reading.table, rows, decision)
        _report(tally)
        if new:
            typer.echo(f"{table}: version {stored.version} has {stored.rows} rows (sha256 {stored.digest})")
        else:
            typer.echo(
                f"{table}: these are the {stored.rows} rows of version {stored.version}: nothing changes"
            )
        _publish(settings, database, f"{table} is loaded")


@app.command()
def check(
    table: Name,
    files: Files,
    format: Format = None,
    time_zone: Zone = "UTC",
    base: Base = None,
    empty: Empty = False,
) -> None:
    """Read files as `load` would, and say what they have. Nothing is stored, and no database is needed."""
    from audit_trail.settings import load as settings_of
    from detection.context.files.source import Tally
    from detection.context.loading import check_files

    tally = Tally()
    reading = _reading(settings_of(), table, format, time_zone, base)
    found = check_files(reading, files, tally, empty=empty)
    _report(tally)
    typer.echo(f"{table}: {found.rows} rows (sha256 {found.hex})")


@app.command("list")
def list_tables(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="Only this table, all versions.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many versions.")] = 100,
) -> None:
    """List the newest version of each table, or all versions of one: rows, age, who loaded it and why."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load as settings_of
    from detection.context.storage import list_versions
    from detection.context.tables import TABLES

    if table is not None:
        _known(table)
    with closing(open_database(settings_of(), Pool.CONTEXT)) as database:
        found = list_versions(database, table, limit)
    shown = Table(box=None)
    for column in ("table", "version", "rows", "age", "by", "in the trail"):
        shown.add_column(column, no_wrap=True)
    shown.add_column("reason")
    for each in found:
        shown.add_row(*map(plain, _cells(each)))
    out.print(shown)
    loaded = {each.table_name for each in found}
    missing = [name for name in TABLES if table is None and name not in loaded]
    if missing:
        typer.echo(f"not loaded: {', '.join(missing)}")


@app.command()
def show(
    table: Name,
    version: Annotated[int | None, typer.Option(min=1, help="By default the newest one.")] = None,
) -> None:
    """Show one version of a table: who loaded it and why, and how many rows have a value in each column.

    It shows no row. The stored rows are checked against the digest.
    """
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load as settings_of
    from detection.context.storage import filled_columns, find_version

    _known(table)
    with (
        closing(open_database(settings_of(), Pool.CONTEXT)) as database,
        database.transaction(read_only=True) as connection,
    ):
        found = find_version(connection, table, version)
        filled = filled_columns(connection, found)
    loaded = f"{found.loaded_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {visible(found.decided_by)}"
    typer.echo(
        f"{table}: version {found.version} has {found.rows} rows (sha256 {found.digest}), from {found.format},\n"
        f"loaded at {loaded}: {visible(found.reason)}\n"
        f"in the trail: {_published(found)} (event {found.event_id})"
    )
    for name, count in filled.items():
        typer.echo(f"  {name}: {count}")


@app.command()
def publish() -> None:
    """Record loads in the trail that it does not have yet, because Kafka was away. Each `load` does that too."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load as settings_of

    settings = settings_of()
    with closing(open_database(settings, Pool.CONTEXT)) as database:
        _publish(settings, database, "there are loads")


def _publish(settings: Settings, database: Database, done: str) -> None:
    from audit_trail.context_events import publishing
    from detection.context.storage import publish_loads

    try:
        with publishing(settings) as send:
            published = publish_loads(database, send)
    except UnavailableError as exc:
        raise UnavailableError(
            f"{done}, and the trail does not have that yet: {exc}. `audit-trail context publish` records it; until"
            " then the version does not count"
        ) from exc
    for each in published:
        typer.echo(f"the trail has the load of {each.table_name}, version {each.version}")
    if not published:
        typer.echo("the trail has all loads")


def _reading(settings: Settings, table: str, format: str | None, zone: str, base: str | None) -> Reading:
    from audit_trail.ingest_settings import systems
    from detection.context.files.reading import Reading
    from detection.context.tables import TABLES
    from detection.context.tables import Format as KnownFormat

    _known(table)
    try:
        chosen = KnownFormat(format) if format else None
    except ValueError:
        raise wrong("--format", f"write {', '.join(KnownFormat)}") from None
    try:
        known_zone = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise wrong("--time-zone", "there is no such time zone: write one such as Europe/Vienna") from None
    if base is not None and "://" not in base:
        raise wrong("--base", "write the address of the server, such as https://fhir.example/r4")
    return Reading(table=TABLES[table], format=chosen, zone=known_zone, systems=systems(settings), base=base)


def _known(table: str) -> None:
    from detection.context.tables import TABLES

    if table not in TABLES:
        raise wrong("TABLE", f"there is no table of this name: write {', '.join(TABLES)}")


def _report(tally: Tally) -> None:
    for what, count in tally.left_out.most_common():
        typer.echo(f"left out: {count} {visible(what)}", err=True)


def _cells(version: StoredVersion) -> tuple[str, ...]:
    age = datetime.now(UTC) - version.loaded_at
    hours = int(age.total_seconds()) // 3600
    return (
        version.table_name,
        str(version.version),
        str(version.rows),
        f"{hours // 24} days" if hours >= 48 else f"{hours} hours" if hours else "less than an hour",
        version.decided_by,
        _published(version),
        version.reason,
    )


def _published(version: StoredVersion) -> str:
    return "yes" if version.published_at else "not yet: run `audit-trail context publish`"
