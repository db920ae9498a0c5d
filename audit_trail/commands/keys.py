"""`audit-trail keys`: the keys that sign tree heads, and those of witnesses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The keys that sign the log, and those of witnesses.", no_args_is_help=True)


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="The file to create. An existing file is never overwritten.")],
    name: Annotated[
        str,
        typer.Option(
            help="The log's name (origin), like a URL without https://, that no other log has: hospital.example/audit"
        ),
    ],
    witness: Annotated[
        bool, typer.Option("--witness", help="A key for `audit-trail witness` instead of one for a log.")
    ] = False,
) -> None:
    """Create a private key that only its owner can read, and print its public key."""
    from event_store.signing import create_key_file, new_key
    from event_store.tlog.notes import COSIGNATURE_V1, ED25519

    create_key_file(file, new_key(name, COSIGNATURE_V1 if witness else ED25519))
    typer.echo(_public(file)[0])


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A key file.", exists=True, dir_okay=False)]) -> None:
    """Print the public keys (vkeys) of a key file, for those who verify."""
    for vkey in _public(file):
        typer.echo(vkey)


@app.command()
def adopt() -> None:
    """Sign, once, a log of a release that did not sign. Its rows are verified first."""
    from audit_trail.databases import Pool, open_database
    from audit_trail.settings import load
    from audit_trail.trust.keys import signer
    from event_store.first_signature import adopt as run

    settings = load()
    head = run(open_database(settings, Pool.INGEST), signer(settings))
    typer.echo(f"the log of {head.size} events is signed from now on, as {head.origin}")


def _public(file: Path) -> list[str]:
    from event_store.signing import read_key_file, read_public

    return [key.encode() for key in read_public(read_key_file(file))]
