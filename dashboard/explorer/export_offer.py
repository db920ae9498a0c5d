"""In which formats somebody may export what the explorer shows."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dashboard.viewer import Viewer
from domain.access.grants import Operation
from queries.export import parquet
from queries.export_jobs.job import JobFormat
from queries.export_jobs.making import MAX_KIT_EVENTS


class FormatButton(Struct, frozen=True):
    """A format that can be chosen."""

    value: str
    name: str
    help: str


class Offer(Struct, frozen=True):
    """The filter and the range as parameters, and the formats. `missing` says why another format is not offered."""

    pairs: Sequence[tuple[str, str]]
    formats: list[FormatButton]
    missing: list[str]


NAMES = {
    JobFormat.CSV: "CSV",
    JobFormat.NDJSON: "NDJSON",
    JobFormat.PARQUET: "Parquet",
    JobFormat.EVIDENCE: "Evidence kit",
}
_HELP = {
    JobFormat.CSV: "A table for spreadsheets, one row for each event",
    JobFormat.NDJSON: "Each event as JSON on a line of its own",
    JobFormat.PARQUET: "A table for DuckDB, pandas and other tools of analysts",
    JobFormat.EVIDENCE: "Events, proofs, the signed tree head, and a program that checks them without this server;"
    f" at most {MAX_KIT_EVENTS} events",
}


def offer(viewer: Viewer, pairs: Sequence[tuple[str, str]]) -> Offer | None:
    """What the viewer may choose; None without the right to export."""
    if not viewer.may(Operation.EXPORT):
        return None
    missing = {each: why for each in JobFormat if (why := why_not(each, viewer))}
    return Offer(
        pairs,
        [FormatButton(each.value, NAMES[each], _HELP[each]) for each in JobFormat if each not in missing],
        list(missing.values()),
    )


def why_not(format: JobFormat, viewer: Viewer) -> str:
    """Why the viewer can't have a format; empty if it is possible."""
    match format:
        case JobFormat.PARQUET if not parquet.available():
            return "No Parquet: the server has no pyarrow (pip install 'audit-trail[export]')."
        case JobFormat.EVIDENCE if not (viewer.scope.sees_all and viewer.may(Operation.READ_PROOFS)):
            return (
                "No evidence kit: it holds events as they were sealed, which only a role that sees all of every event"
                " may have."
            )
    return ""
