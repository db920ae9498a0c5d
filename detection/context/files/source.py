"""One input file: read line by line, or whole, within bounds. Errors name the file and the line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from detection.context.values import Given
from domain.errors import ConfigurationError, Reason, RejectedError
from event_store.files.paths import opened_input

MAX_LINE_BYTES = 1 << 20
"""Of one line of CSV or NDJSON, and of one resource."""
MAX_DOCUMENT_BYTES = 128 << 20
"""Of a file that is one JSON document. Larger ones are NDJSON, or several files."""
_BOM = b"\xef\xbb\xbf"
_NAME_LENGTH = 100


class Found(NamedTuple):
    """What a file says of one row. `place` is for errors: the file, and the line or resource."""

    place: str
    given: Mapping[str, Given]


class Tally:
    """What was read: resources by type, and what was left out, by the reason."""

    def __init__(self) -> None:
        self.read = 0
        self.left_out: Counter[str] = Counter()

    def leave_out(self, what: str) -> None:
        """Count something that makes no row. `what` may be text of the file: a few kinds are kept, and shortened."""
        what = what[:_NAME_LENGTH]
        self.left_out[what if what in self.left_out or len(self.left_out) < 50 else "others"] += 1


class Source:
    """An open file or pipe. Use it with `with`; `OSError` when it can't be opened."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = os.fdopen(opened_input(path), "rb")
        self._line = 0
        self._kept: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def first_line(self) -> bytes:
        """The first line with text, at most `MAX_LINE_BYTES` of it. It is read again by `lines` or `document`."""
        while self._kept is None:
            line = self._file.readline(MAX_LINE_BYTES + 1)
            self._line += 1
            if self._line == 1:
                line = line.removeprefix(_BOM)
            if line.strip() or not line:
                self._kept = line
        return self._kept

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their numbers, blank ones too. Raises `RejectedError` for one too long or not UTF-8."""
        line = self.first_line()
        while line:
            if len(line) > MAX_LINE_BYTES:
                raise self.wrong(f"a line has at most {MAX_LINE_BYTES} bytes", Reason.OVERSIZED)
            try:
                yield self._line, line.decode()
            except UnicodeDecodeError as exc:
                raise self.wrong("write UTF-8", Reason.INVALID_ENCODING) from exc
            line = self._file.readline(MAX_LINE_BYTES + 1)
            self._line += 1

    def document(self) -> bytes:
        """The whole file. Raises `ConfigurationError` when it is too large for one document."""
        data = self.first_line()
        data += self._file.read(MAX_DOCUMENT_BYTES + 1 - len(data))
        if len(data) > MAX_DOCUMENT_BYTES:
            raise ConfigurationError(
                f"{self.name}: one JSON document has at most {MAX_DOCUMENT_BYTES} bytes: give NDJSON, or several files"
            )
        return data

    @property
    def line(self) -> int:
        """The number of the line in hand."""
        return self._line

    def place(self, line: int) -> str:
        """A line of this file, for errors."""
        return f"{self.name}, line {line}"

    def wrong(self, message: str, reason: Reason = Reason.INVALID_FIELD) -> RejectedError:
        """The error for the line in hand."""
        return RejectedError(reason, message, field=self.place(self._line))


def at(place: str, exc: RejectedError) -> RejectedError:
    """The same error with the place before the field."""
    return RejectedError(exc.reason, exc.message, field=f"{place}, {exc.field}" if exc.field else place)
