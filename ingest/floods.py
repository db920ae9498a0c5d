"""Limit the dead letters for floods of tiny records: one dead letter stands for many of them.

A compressed batch of some kilobytes can contain 670,000 tiny records. A dead letter for each would fill the disk and
delay the other partitions. A record that is large enough to be an event always gets its own dead letter with the whole
message: a later version may accept it, and then it can be requeued.
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

MAX_SIMILAR = 100
"""Individual dead letters for one transaction, stream and reason."""
MIN_EVENT_BYTES = 100
"""Bytes of value, key and headers. No record with an event is smaller, in any format."""
_RANGES = 30
"""Offset ranges in a message, which is cut at 2,000 characters."""


def bounded(letters: Sequence[NewDeadLetter]) -> list[NewDeadLetter]:
    """`letters`, with one letter per stream and reason in place of the tiny records beyond `MAX_SIMILAR`."""
    if len(letters) <= MAX_SIMILAR:
        return list(letters)
    kept: list[NewDeadLetter] = []
    similar: dict[tuple[UUID, Reason], list[NewDeadLetter]] = {}
    for letter in letters:
        if _is_tiny(letter):
            similar.setdefault((letter.stream, letter.reason), []).append(letter)
        else:
            kept.append(letter)
    for group in similar.values():
        kept += group[:MAX_SIMILAR]
        rest = group[MAX_SIMILAR:]
        kept += [_summary(rest)] if len(rest) > 1 else rest
    return kept


def _is_tiny(letter: NewDeadLetter) -> bool:
    if letter.batch is not None or letter.value_cut or letter.key_cut or letter.headers_cut:
        return False  # already truncated, with sizes and digests
    size = len(letter.value or b"") + len(letter.key or b"") + headers_size(letter.headers)
    return size < MIN_EVENT_BYTES


def _summary(letters: Sequence[NewDeadLetter]) -> NewDeadLetter:
    """One dead letter for all of `letters`, which have one stream and reason and are in offset order."""
    first, last = letters[0], letters[-1]
    value = b"".join(letter.value or b"" for letter in letters)
    keys = b"".join(letter.key or b"" for letter in letters)
    headers = b"".join(encode_headers(letter.headers) for letter in letters if letter.headers)
    fields = {letter.field for letter in letters}
    message = (
        f"{len(letters)} more records like the {MAX_SIMILAR} before, at offsets"
        f" {_ranges([letter.offset for letter in letters])}; their concatenated values are"
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
    """The offsets as text, such as `3-7, 9`; of very many ranges the first ones and the number of the others."""
    breaks = [at for at, (one, other) in enumerate(pairwise(offsets), 1) if other != one + 1]
    runs = [offsets[begin:end] for begin, end in pairwise([0, *breaks, len(offsets)])]
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    more = len(words) - _RANGES
    return ", ".join(words[:_RANGES]) + (f" and {more} more ranges up to {offsets[-1]}" if more > 0 else "")
