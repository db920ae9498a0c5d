"""Rows read from samples and from texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from detection.context.files.reading import Reading
from detection.context.files.source import Tally
from detection.context.tables import TABLES, Format
from interop.systems import OWN, Systems

SAMPLES = Path(__file__).with_name("samples")


def rows(
    table: str,
    *files: Path,
    format: str | None = None,
    zone: str = "UTC",
    systems: Systems = OWN,
    base: str | None = None,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows by their ids or in order, without empty columns, and what was left out."""
    tally = Tally()
    if format is None and files[0].suffix == ".json":
        format = "fhir"
    reading = Reading(
        table=TABLES[table],
        format=Format(format) if format else None,
        zone=ZoneInfo(zone),
        systems=systems,
        base=base,
    )
    found = [msgspec.structs.asdict(row) for _, row in reading.rows(files, tally)]
    return [{name: each for name, each in row.items() if each or each is False} for row in found], dict(
        tally.left_out
    )
