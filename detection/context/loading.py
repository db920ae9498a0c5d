"""From files to the rows of a table in their canonical order, checked: for a load and for a dry run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from detection.context.canonical import CanonicalRows
from detection.context.chunks import Digest
from detection.context.files.reading import Reading
from detection.context.files.source import Tally
from domain.errors import Reason, RejectedError


def canonical_rows(
    reading: Reading, files: Sequence[Path], tally: Tally, *, empty: bool = False
) -> Iterator[bytes]:
    """The rows of files, each once. Memory is bounded.

    The first row comes when all files are read. Raises `RejectedError` with the file, the line or resource, and the
    column; also for two rows with one id, and for no row at all, unless `empty` allows that.
    """
    with CanonicalRows(reading.table) as rows:
        for place, row in reading.rows(files, tally):
            rows.add(place, row)
        nothing = True
        for canonical in rows.sorted():
            nothing = False
            yield canonical
        for what, count in (
            ("rows that are there already", rows.repeated),
            ("other ids that several rows have", rows.shared),
        ):
            if count:
                tally.left_out[what] = count
    if nothing and not empty:
        raise RejectedError(
            Reason.MISSING_FIELD,
            f"the files have no row for {reading.table.name}: --empty loads a table without rows",
            field=", ".join(map(str, files)),
        )


def check_files(reading: Reading, files: Sequence[Path], tally: Tally, *, empty: bool = False) -> Digest:
    """The digest and the number of rows that these files would give."""
    digest = Digest()
    for _ in digest.counted(canonical_rows(reading, files, tally, empty=empty)):
        pass
    return digest
