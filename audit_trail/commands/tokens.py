"""`audit-trail token`: a token of the development issuer. `audit-trail tokens`: the API tokens of machines."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from audit_trail.commands.terminal import out, wrong
from audit_trail.environment import FILE_VARIABLE, PREFIX
from domain.access.principal import Role
from domain.errors import ConfigurationError

app = typer.Typer(help="The API tokens of machines.", no_args_is_help=True)

Roles = Annotated[list[Role], typer.Option("--role", help="A role; may be repeated.")]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", help="A service that it owns or reports as; may be repeated."),
]
Patients = Annotated[
    list[str] | None,
    typer.Option("--patient", help="The patient whose record is the bearer's own; may be repeated."),
]
Devices = Annotated[list[str] | None, typer.Option("--device", help="A device in its care; may be repeated.")]
Register = Annotated[
    Path | None,
    typer.Option("--file", help=f"The file of tokens, instead of {PREFIX}API_TOKENS_FILE.", dir_okay=False),
]
_DURATION = re.compile(r"([1-9][0-9]{0,4})([hd])")


def token(
    role: Roles,
    patient: Patients = None,
    source: Sources = None,
    device: Devices = None,
    actor: Annotated[
        str, typer.Option(help="The actor's id, as events name it; by default made from the role.")
    ] = "",
    name: Annotated[str, typer.Option(help="The actor's name.")] = "",
    minutes: Annotated[float, typer.Option(min=0.01, max=1440, help="How long it is valid.")] = 60,
    data: Annotated[
        Path | None,
        typer.Option(
            help=f"The data folder of `up`; by default that of {FILE_VARIABLE}, or audit-trail-data."
        ),
    ] = None,
) -> None:
    """Print a token for the API of `up` or `demo` on this machine."""
    from audit_trail.development_issuer import issue

    _check_bound(role, patient, source, device)
    claims: dict[str, Any] = {
        "sub": actor or f"development-{role[0]}",
        "name": name,
        "roles": [str(each) for each in role],
        "patient": patient,
        "sources": source,
        "devices": device,
    }
    given = {claim: value for claim, value in claims.items() if value}
    typer.echo(issue(data or _folder(), minutes, **given))


def _check_bound(
    roles: list[Role], patients: list[str] | None, sources: list[str] | None, devices: list[str] | None
) -> None:
    """Raise `ConfigurationError` when an id is empty, or when a role would see nothing."""
    for values, option in ((patients, "--patient"), (sources, "--source"), (devices, "--device")):
        if not all(value.strip() for value in values or ()):
            raise wrong(option, "an id is not empty")
    for role, given, option in (
        (Role.PATIENT, patients, "--patient"),
        (Role.SERVICE_OWNER, sources, "--source"),
    ):
        if role in roles and not given:
            raise wrong(option, f"the role {role} sees nothing without it")


def _folder() -> Path:
    """The folder of the stack that the settings name, otherwise the default folder of `up`."""
    from audit_trail.development_issuer import has_issuer

    file = os.environ.get(FILE_VARIABLE)
    folder = None if file is None else Path(file).parent
    return folder if folder is not None and has_issuer(folder) else Path("audit-trail-data")


@app.command()
def new(
    name: Annotated[str, typer.Option(help="The machine's name, which access records name.")],
    role: Roles,
    source: Sources = None,
    patient: Patients = None,
    device: Devices = None,
    expires: Annotated[
        str | None,
        typer.Option(
            help="How long it is valid, in hours or days: 12h, 365d; by default until it is revoked."
        ),
    ] = None,
    file: Register = None,
) -> None:
    """Create a token, store its digest in the file, and print it. Nobody can read it again."""
    from web.authentication.api_tokens import ApiToken
    from web.authentication.api_tokens_file import add_token

    _check_bound(role, patient, source, device)
    text = add_token(
        _file(file),
        lambda token_id, digest: ApiToken(
            id=token_id,
            name=name,
            sha256=digest,
            roles=tuple(role),
            sources=tuple(source or ()),
            patients=tuple(patient or ()),
            devices=tuple(device or ()),
            created=datetime.now(UTC).replace(microsecond=0),
            expires=_end(expires),
        ),
    )
    typer.echo(text)


@app.command("list")
def show(file: Register = None) -> None:
    """List the tokens: ids, names, roles, and when they expire."""
    from web.authentication.api_tokens import read_tokens

    table = Table("id", "name", "roles", "sources", "created", "expires", box=None)
    for entry in read_tokens(_file(file)).values():
        ends = entry.expires_at()
        table.add_row(
            entry.id,
            entry.name,
            ", ".join(entry.roles),
            ", ".join(entry.sources),
            "" if entry.created is None else entry.created.isoformat(),
            "" if ends is None else ends.isoformat(),
        )
    out.print(table)


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="The id, the middle of the token: at_ID_...")],
    file: Register = None,
) -> None:
    """Remove a token from the file. `serve` refuses it from the next request on."""
    from web.authentication.api_tokens_file import remove_token

    remove_token(_file(file), id)
    typer.echo(f"revoked {id}")


def _file(given: Path | None) -> Path:
    from audit_trail.settings import load

    file = given or load().api_tokens_file
    if file is None:
        raise ConfigurationError(f"name the file of tokens with --file, or set {PREFIX}API_TOKENS_FILE")
    return file


def _end(text: str | None) -> datetime | None:
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    if match is None:
        raise wrong("--expires", "a number of hours or days, as 12h or 365d")
    unit = timedelta(hours=1) if match[2] == "h" else timedelta(days=1)
    return datetime.now(UTC).replace(microsecond=0) + int(match[1]) * unit
