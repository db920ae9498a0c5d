"""The page of the context tables, generated from their declarations."""

from __future__ import annotations

from collections.abc import Iterator

from audit_trail.docs.tables import table
from detection.context.tables import TABLES, Column, Kind, Table

HEAD = (
    "# Context tables\n\n"
    "What rules of detection can know besides the log. `audit-trail context load TABLE FILE...` replaces a table:"
    " [how to load context](../how-to/context.md). The names of columns are those of a CSV file's header; the order"
    " does not matter, and a column that is not required may be missing.\n"
)
_KINDS = {
    Kind.TEXT: "text",
    Kind.TEXTS: "list of texts",
    Kind.FOLDED: "name or address, compared as [folded](../how-to/context.md#names-and-addresses)",
    Kind.DATE: "date",
    Kind.TIME: "time",
    Kind.FLAG: "true or false",
    Kind.NETWORKS: "list of addresses and networks",
}


def sections() -> Iterator[str]:
    """The section of each table."""
    for each in TABLES.values():
        yield f"\n## {each.name}\n\n{each.help} Rows are found by {_found_by(each)}.{_formats(each)}\n\n"
        yield table(("Column", "Values", "Meaning"), [_row(column) for column in each.columns])
        if each.one_of:
            yield f"\nA row needs a value in {' or '.join(f'`{name}`' for name in each.one_of)}.\n"


def _found_by(each: Table) -> str:
    return " or ".join(f"`{name}`" for name in each.keys)


def _formats(each: Table) -> str:
    found = f" FHIR: {', '.join(each.fhir)}." if each.fhir else ""
    return found + (" SCIM: users." if each.scim else "")


def _row(column: Column) -> tuple[str, str, str]:
    kind = _KINDS[column.kind]
    if column.kind is Kind.FLAG and column.default:
        kind += ", by default true"
    return f"`{column.name}`", kind + (", required" if column.required else ""), column.help
