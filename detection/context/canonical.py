"""The rows of a load in their canonical order, sorted on the disk: each once, and no id twice.

Rows come in any order, and in any number. Memory is bounded: sorted runs go to temporary files, without a name, which
are merged.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from types import TracebackType
from typing import IO, Self

from detection.context.rows import Row, encode_row
from detection.context.tables import Table
from domain.errors import Reason, RejectedError

MAX_ROWS = 20_000_000
"""Rows of one table."""
RUN_BYTES = 64 << 20
"""What is sorted in memory at once."""
_BETWEEN = b"\t"
"""Stands between a row and its place. Neither contains it: JSON writes it as an escape."""


class CanonicalRows:
    """Sorts the rows of one table. Use it with `with`: it has temporary files."""

    def __init__(self, table: Table, *, run_bytes: int = RUN_BYTES) -> None:
        self._table = table
        self._rows = _Sorter(run_bytes)
        self._ids = _Sorter(run_bytes)
        self._count = 0
        self.repeated = 0
        """Rows that stood in the files more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self._ids.close()

    def add(self, place: str, row: Row) -> None:
        """Add a row. `place` is for errors."""
        self._count += 1
        if self._count > MAX_ROWS:
            raise RejectedError(Reason.OVERSIZED, f"a table has at most {MAX_ROWS} rows", field=place)
        where = place.encode("unicode_escape")
        self._rows.add(encode_row(row) + _BETWEEN + where)

    def sorted(self) -> Iterator[tuple[bytes, str]]:
        """The rows in their order, each with its place. Raises `RejectedError` at the end when an id is there twice."""
        for canonical, same in groupby(self._rows.sorted(), key=_before):
            lines = list(same)
            self.repeated += len(lines) - 1
            yield canonical, _place(lines[0])

    def check_unique(self, ids: Iterable[str], place: str) -> None:
        """Add the ids of a row, to be compared by `finish`."""
        for id in set(ids):
            self._ids.add(id.encode() + _BETWEEN + place.encode("unicode_escape"))

    def finish(self) -> None:
        """Raise `RejectedError` when two rows have the same id."""
        before = b""
        for line in self._ids.sorted():
            if _before(line) == _before(before):
                first, second = (_place(each) for each in (before, line))
                raise RejectedError(
                    Reason.CONFLICT,
                    f"the same id as in {first}, with other content: give each its own",
                    field=f"{second}, {' or '.join(self._table.unique)}",
                )
            before = line


def _before(line: bytes) -> bytes:
    return line.partition(_BETWEEN)[0]


def _place(line: bytes) -> str:
    return line.partition(_BETWEEN)[2].decode("unicode_escape")


class _Sorter:
    """Lines in the order of their bytes."""

    def __init__(self, run_bytes: int) -> None:
        self._most = run_bytes
        self._lines: list[bytes] = []
        self._bytes = 0
        self._runs: list[IO[bytes]] = []
        self._stack = ExitStack()

    def add(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line) + 64
        if self._bytes >= self._most:
            self._write_run()

    def sorted(self) -> Iterator[bytes]:
        self._lines.sort()
        if not self._runs:
            return iter(self._lines)
        for run in self._runs:
            run.seek(0)
        files = [(line.rstrip(b"\n") for line in run) for run in self._runs]
        return heapq.merge(*files, self._lines)

    def close(self) -> None:
        self._stack.close()

    def _write_run(self) -> None:
        self._lines.sort()
        run = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        run.writelines(line + b"\n" for line in self._lines)
        self._runs.append(run)
        self._lines = []
        self._bytes = 0
