"""The rows of a load in their canonical order, sorted on the disk: each once, and no id of two rows.

Rows come in any order, and in any number. Memory is bounded: sorted runs go to temporary files, without a name, which
are merged.
"""

from __future__ import annotations

import hashlib
import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby, islice
from types import TracebackType
from typing import IO, Self

import msgspec

from detection.context.rows import Row, encode_row, row_decoder
from detection.context.tables import Table
from domain.errors import Reason, RejectedError

MAX_ROWS = 20_000_000
"""Rows of one table."""
RUN_BYTES = 64 << 20
"""What is sorted in memory at once."""
MAX_SHARED = 1_000_000
"""Ids that several rows have."""
_OWN, _OTHER = b"0", b"1"
_BETWEEN = b"\t"
"""Stands between a row and its place. Neither contains it: JSON writes it as an escape."""


class CanonicalRows:
    """Sorts the rows of one table. Use it with `with`: it has temporary files."""

    def __init__(self, table: Table, *, run_bytes: int = RUN_BYTES) -> None:
        self._table = table
        self._rows = _Sorter(run_bytes)
        self._ids = _Sorter(run_bytes)
        self._count = 0
        self._decode = row_decoder(table.name)
        self.repeated = 0
        """Rows that stood in the files more than once."""
        self.shared = 0
        """Other ids that were left out, because several rows have them."""

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
        canonical, where = encode_row(row), place.encode("unicode_escape")
        self._rows.add(canonical + _BETWEEN + where)
        if self._table.unique:
            own, *others = self._table.unique
            mark = hashlib.blake2b(canonical, digest_size=8).hexdigest().encode()
            self._add_ids(_OWN, (getattr(row, own),), mark, where)
            for name in others:
                self._add_ids(_OTHER, getattr(row, name), mark, where)

    def sorted(self) -> Iterator[bytes]:
        """The rows in their order. Raises `RejectedError` before the first one when two rows have the same id."""
        shared = self._shared_ids()
        for canonical, same in groupby(self._rows.sorted(), key=_before):
            self.repeated += sum(1 for _ in same) - 1
            yield self._without(shared, canonical) if shared else canonical

    def _add_ids(self, kind: bytes, ids: Iterable[str], mark: bytes, where: bytes) -> None:
        for id in ids:
            self._ids.add(_BETWEEN.join((id.encode(), kind, mark, where)))

    def _shared_ids(self) -> set[str]:
        """The other ids that several rows have, or that are the own id of another row."""
        shared: set[str] = set()
        for id, same in groupby(self._ids.sorted(), key=_before):
            lines = [line.split(_BETWEEN) for line in islice(same, 1000)]
            owners = {mark: where for _, kind, mark, where in reversed(lines) if kind == _OWN}
            if len(owners) > 1:
                first, second, *_ = sorted(where.decode("unicode_escape") for where in owners.values())
                raise RejectedError(
                    Reason.CONFLICT,
                    f"the same as in {first}, with other content: give each row its own",
                    field=f"{second}, {self._table.unique[0]}",
                )
            if len({mark for _, _, mark, _ in lines}) > 1:
                shared.add(id.decode())
                if len(shared) > MAX_SHARED:
                    raise RejectedError(
                        Reason.CONFLICT, f"more than {MAX_SHARED} of them are shared", field="other_ids"
                    )
        return shared

    def _without(self, shared: set[str], canonical: bytes) -> bytes:
        """The row without ids that mean several people or patients, and so nobody."""
        row = self._decode(canonical)
        for name in self._table.unique[1:]:
            ids = getattr(row, name)
            kept = tuple(id for id in ids if id not in shared)
            self.shared += len(ids) - len(kept)
            row = msgspec.structs.replace(row, **{name: kept})
        return encode_row(row)


def _before(line: bytes) -> bytes:
    return line.partition(_BETWEEN)[0]


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
