"""`audit-trail health`: the health check of a part, for supervisors."""

from __future__ import annotations

import json
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from domain.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from audit_trail.settings import Settings

_SECONDS = 8.0
"""`serve` takes 5 s for its /readyz while the database is silent."""
_MOST_BYTES = 64 << 10


def health(
    part: Annotated[
        Literal["ingest", "project", "serve", "guard", "watch", "forward", "custom", "witness"],
        typer.Argument(help="The part to check; `custom` is `projections run` with an analyst's login."),
    ],
) -> None:
    """Exit 0 when the part's login reaches the database in the part's role, and its /readyz says that it is ready.

    It needs the same settings as the part. It asks all parts but `serve` on AUDIT_TRAIL_METRICS_PORT, and refuses
    to answer for them without one. It exits 75 and says why while the part is not ready or the database is away, and
    2 when another part or another program answers at that port. A `witness` has no database: only its /readyz counts.
    """
    from audit_trail.environment import PREFIX
    from audit_trail.settings import load

    settings = load()
    if part != "serve" and not settings.metrics_port:
        raise ConfigurationError(
            f"nobody can tell whether {part} is ready: set {PREFIX}METRICS_PORT, where it answers /readyz"
        )
    if part != "witness":
        _reach_database(part, settings)
    if part == "serve":
        _ask(part, settings.http_host, settings.http_port, f"{PREFIX}HTTP_PORT")
    else:
        _ask(part, settings.metrics_host, settings.metrics_port, f"{PREFIX}METRICS_PORT")
    typer.echo("ok")


def _reach_database(part: str, settings: Settings) -> None:
    """Raise an `AuditTrailError` unless the part's login reaches the database in the part's role."""
    from audit_trail.databases import Pool, open_database
    from event_store.database import ANALYST, Database

    pools = {
        "ingest": Pool.INGEST,
        "project": Pool.PROJECTOR,
        "serve": Pool.READER,
        "guard": Pool.GUARD,
        "watch": Pool.WATCHER,
        "forward": Pool.FORWARDER,
    }
    opened = (
        open_database(settings, pools[part])
        if part in pools
        else Database(settings.require_database_url(), ANALYST, size=1, application_name="audit-trail-health")
    )
    with (
        closing(opened) as database,
        database.transaction(read_only=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")


def _ask(part: str, host: str, port: int, setting: str) -> None:
    """Raise `UnavailableError` with the part's own words unless it is ready.

    Raises `ConfigurationError` when another part or another program answers at the port of `setting`.
    """
    from event_store.outgoing_http import Deadline, Target, exchange
    from web.http.listening_socket import connectable

    target = Target("http", connectable(host), port, "/readyz")
    answer = exchange(target, Deadline(_SECONDS), what=f"{part} at port {port}", most=_MOST_BYTES)
    said = _said(answer.body)
    answering = said.get("part")
    ready = answer.status == HTTPStatus.OK
    if answering != part and (answering is not None or ready):
        who = "another program" if answering is None else answering
        raise ConfigurationError(
            f"{who} answers at port {port}, not {part}: set {setting} to the port of {part}"
        )
    if not ready:
        raise UnavailableError(f"{part} is not ready: {_problems(said)}")


def _said(answer: bytes) -> dict[str, Any]:
    """A part's answer; empty when it is none."""
    try:
        said = json.loads(answer)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _problems(said: dict[str, Any]) -> str:
    """The problems in a part's answer: `serve` names its checks, the others their problems."""
    checks = said.get("checks")
    failed = checks.items() if isinstance(checks, dict) else ()
    found = said.get("problems") or [f"{name}: {state}" for name, state in failed if state != "ok"]
    return "; ".join(map(str, found)) if isinstance(found, list) and found else "see its /readyz"
