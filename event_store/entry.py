"""The leaf entry: the short public record that the Merkle tree hashes, one per event.

It is ASCII text of eight lines, each terminated by LF (0x0A), without personal data::

    audit-trail-entry/1
    <position>            decimal
    <event id>            32 hex digits
    <recorded at>         microseconds since 1970-01-01T00:00:00Z, decimal
    <stream>              32 hex digits
    <stream position>     decimal
    <body format>         decimal
    <SHA-256 of the stored body>  64 hex digits

The digest covers the whole body, which contains the type and the time of the event.
"""

from __future__ import annotations

from collections.abc import Iterable


def encode_entry(
    position: int,
    event_id: str,
    recorded_us: int,
    stream: str,
    stream_position: int,
    format: int,
    digest: str,
) -> bytes:
    """The bytes of one entry; ids and digest in lower-case hex."""
    return (
        f"audit-trail-entry/1\n{position}\n{event_id}\n{recorded_us}\n{stream}\n{stream_position}\n{format}\n{digest}\n"
    ).encode("ascii")


def entry_end(stream: str, stream_position: int, format: int, digest: str) -> str:
    """The last lines of an entry. They are known before the event has a position."""
    return f"{stream}\n{stream_position}\n{format}\n{digest}\n"


def complete_entries(first: int, recorded_us: int, parts: Iterable[tuple[str, str]]) -> list[bytes]:
    """The entries of a batch from position `first` on. `parts` are the event id and the `entry_end` of each."""
    return [
        f"audit-trail-entry/1\n{position}\n{event_id}\n{recorded_us}\n{end}".encode("ascii")
        for position, (event_id, end) in enumerate(parts, first)
    ]
