"""A flood of records too small to be events: a few dead letters, and one that stands for all the others.

A compressed batch of some kilobytes can hold 670,000 tiny records. A dead letter for each would fill the disk, and keep
the other partitions waiting meanwhile. A record that is large enough to hold an event always has a dead letter of its
own, whole: it may be good for a later version, and is requeued then.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from uuid import UUID

from msgspec.structs import replace

from domain.errors import Reason
from event_store.dead_letters import Cut, NewDeadLetter, SealedBatch
from ingest.records.unread import VALUE_KEPT, encode_headers, headers_size

MOST_ALIKE = 100
"""Dead letters of one transaction, stream and reason that are kept one by one."""
LEAST_EVENT = 100
"""Bytes of value, key and headers. No record that holds an event is smaller, in any format."""
_RANGES = 30
"""Ranges of offsets that a message names. It is cut at 2,000 characters."""


def bounded(letters: Sequence[NewDeadLetter]) -> list[NewDeadLetter]:
    """`letters`, with one for each stream and reason in the place of the tiny records beyond `MOST_ALIKE`."""
    if len(letters) <= MOST_ALIKE:
        return list(letters)
    kept: list[NewDeadLetter] = []
    alike: dict[tuple[UUID, Reason], list[NewDeadLetter]] = {}
    for letter in letters:
        if _is_tiny(letter):
            alike.setdefault((letter.stream, letter.reason), []).append(letter)
        else:
            kept.append(letter)
    for group in alike.values():
        kept += group[:MOST_ALIKE]
        rest = group[MOST_ALIKE:]
        kept += [_together(rest)] if len(rest) > 1 else rest
    return kept


def _is_tiny(letter: NewDeadLetter) -> bool:
    if letter.batch is not None or letter.value_cut or letter.key_cut or letter.headers_cut:
        return False  # it is cut already, and its sizes and digests stand in it
    size = len(letter.value or b"") + len(letter.key or b"") + headers_size(letter.headers)
    return size < LEAST_EVENT


def _together(letters: Sequence[NewDeadLetter]) -> NewDeadLetter:
    """One dead letter for all of `letters`, of one stream and reason, in the order of their offsets."""
    first, last = letters[0], letters[-1]
    value = b"".join(letter.value or b"" for letter in letters)
    keys = b"".join(letter.key or b"" for letter in letters)
    headers = b"".join(encode_headers(letter.headers) for letter in letters if letter.headers)
    fields = {letter.field for letter in letters}
    message = (
        f"{len(letters)} more records like the {MOST_ALIKE} before, at offsets"
        f" {_ranges([letter.offset for letter in letters])}; their values, one behind the other, are"
        f" {len(value)} bytes with the SHA-256 {sha256(value).hexdigest()}"
    )
    return replace(
        first,
        key=None,
        value=value[:VALUE_KEPT],
        headers=[],
        field=first.field if len(fields) == 1 else "",
        message=message,
        value_cut=Cut.of(value) if len(value) > VALUE_KEPT else None,
        key_cut=Cut.of(keys),
        headers_cut=Cut.of(headers),
        batch=SealedBatch(last.offset, "none", len(letters)),
    )


def _ranges(offsets: list[int]) -> str:
    """The offsets in words, such as `3-7, 9`; of very many ranges the first ones, and how many more there are."""
    breaks = [at for at, (one, other) in enumerate(pairwise(offsets), 1) if other != one + 1]
    runs = [offsets[begin:end] for begin, end in pairwise([0, *breaks, len(offsets)])]
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    more = len(words) - _RANGES
    return ", ".join(words[:_RANGES]) + (f" and {more} more places up to {offsets[-1]}" if more > 0 else "")
