"""`audit-trail settings`."""

from __future__ import annotations

from rich.table import Table

from audit_trail.commands.terminal import out


def show() -> None:
    """List every setting with its default and help."""
    from audit_trail.environment import PREFIX
    from audit_trail.settings import Settings

    table = Table("variable", "default", "what it does", box=None)
    for name, field in Settings.model_fields.items():
        default = (
            ""
            if field.default in (None, ())
            else str(field.default if not isinstance(field.default, tuple) else ",".join(field.default))
        )
        table.add_row(PREFIX + name.upper(), default, field.description)
    out.print(table)
