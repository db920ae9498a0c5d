"""`audit-trail projections`: the read models."""

from __future__ import annotations

import typer
from rich.table import Table

from audit_trail import components
from audit_trail.commands.terminal import out, plain
from audit_trail.settings import load

app = typer.Typer(help="The read models.", no_args_is_help=True)


@app.command("list")
def list_projections() -> None:
    """List the read models: version, checkpoint, lag and state."""
    from projections.read_models import ReadModels

    database = components.reader_database(load())
    table = Table("name", "version", "position", "lag", "state", "error", box=None)
    for row in ReadModels(database).projections():
        cells = (row.name, str(row.version), str(row.position), str(row.lag), row.state, row.error or "")
        table.add_row(*map(plain, cells))
    database.close()
    out.print(table)
