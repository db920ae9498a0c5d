"""Records that kafka-python can't read, made readable.

A header's name is UTF-8 by the protocol, and the broker does not check it. The client raises on one that is not, at
every poll again, and nothing behind that record in its partition would ever be read.
"""

from __future__ import annotations

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch


class _Lenient(bytes):
    """Bytes whose slices decode to text whatever they hold: what is no UTF-8 is shown as ``\\xff``."""

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _Lenient(part) if isinstance(key, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """Never raises."""
        return super().decode(encoding, errors)


class ReadableBatch(DefaultRecordBatch):
    """A record batch that reads a record a second time, leniently, when a header's name is no UTF-8."""

    def _read_msg(self, *arguments: Any) -> Any:
        try:
            return super()._read_msg(*arguments)  # type: ignore[no-untyped-call]
        except UnicodeDecodeError:
            exact = self._buffer
            self._buffer = _Lenient(exact)  # type: ignore[assignment]
            try:
                return super()._read_msg(*arguments)  # type: ignore[no-untyped-call]
            finally:
                self._buffer = exact


def install() -> None:
    """Have the client use `ReadableBatch`. It takes the class from this module and offers no setting for it."""
    memory_records.DefaultRecordBatch = ReadableBatch  # type: ignore[attr-defined]
