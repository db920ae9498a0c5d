"""`audit-trail graphql`: the schema, and trusted documents from a client's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit_trail.commands.terminal import wrong
from domain.errors import Reason, RejectedError

_MOST_BYTES = 1 << 20

app = typer.Typer(help="The GraphQL schema, and the documents of known clients.", no_args_is_help=True)


@app.command()
def schema() -> None:
    """Print the schema, for code generators."""
    from graphql_api.schema import sdl

    typer.echo(sdl(), nl=False)


@app.command()
def documents(
    files: Annotated[
        list[Path],
        typer.Argument(
            help=".graphql files, each a whole document, or folders of them.", exists=True, metavar="FILE..."
        ),
    ],
) -> None:
    """Check documents against schema and limits, and print them as JSON by their SHA-256, for `trusted_documents`."""
    import msgspec

    from audit_trail.settings import load
    from event_store.files.folders import read_input
    from graphql_api.execution.trusted_documents import faults_of, hash_of
    from graphql_api.schema import make_schema
    from queries.limits import QueryLimits

    settings = load()
    limits = QueryLimits(max_page=settings.max_page_size, max_cost=settings.max_cost)
    made = make_schema(limits)._schema
    found: dict[str, str] = {}
    for file in _files(files):
        try:
            text = read_input(file, _MOST_BYTES).decode()
        except UnicodeError as exc:
            raise RejectedError(Reason.INVALID_FIELD, f"{file} is not UTF-8") from exc
        faults = faults_of(text, made, limits)
        if faults:
            raise RejectedError(Reason.INVALID_FIELD, f"{file}: {'; '.join(faults)}")
        found[hash_of(text)] = text
    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def _files(given: list[Path]) -> list[Path]:
    found = []
    for each in given:
        found += sorted(each.rglob("*.graphql")) if each.is_dir() else [each]
    if not found:
        raise wrong("FILE", "no .graphql file is in there")
    return found
