"""Signed heads that were kept outside the database, for a verification to compare the log with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from audit_trail.settings import Settings
from domain.errors import ConfigurationError, ProofError
from event_store.files.folders import read_file, read_input
from event_store.heads import MAX_HEAD_BYTES
from event_store.publication.folder import HeadFolder
from event_store.tlog.notes import VerifierKey
from event_store.tlog.tree_heads import open_head
from event_store.verify.run import ExternalHead

MAX_EXTERNAL_BYTES = 1 << 30
"""Bytes of all heads that one verification compares: a head a minute for some years."""


def published_heads(settings: Settings, keys: Sequence[VerifierKey]) -> list[ExternalHead]:
    """The newest heads of this log in the folder of the settings. Other files there are ignored."""
    folder = settings.heads_folder
    if folder is None or not keys:
        return []
    heads = []
    for note in HeadFolder(folder).published():
        with suppress(ProofError):
            open_head(note, keys, keys[0].name)
            heads.append(ExternalHead(note, str(folder)))
    return heads


def external_heads(places: Sequence[Path], most_bytes: int = MAX_EXTERNAL_BYTES) -> list[ExternalHead]:
    """The signed heads in files, and in all files of folders.

    Raises `ConfigurationError` when one can't be read, when a folder holds something that is no ordinary file, and when
    the files have more than `most_bytes` together.
    """
    heads = []
    left = most_bytes
    for place in places:
        for file, read in _head_files(place):
            try:
                note = read(file, MAX_HEAD_BYTES)
            except OSError as exc:
                raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
            left -= len(note)
            if left < 0:
                raise ConfigurationError(
                    f"the signed heads have more than {most_bytes} bytes together: give --tree-head fewer of them"
                )
            heads.append(ExternalHead(note, str(file)))
    return heads


def _head_files(place: Path) -> Iterator[tuple[Path, Callable[[Path, int], bytes]]]:
    """Each file, and the function that reads it: a pipe may be named, but a folder must not contain one."""
    if not place.is_dir():
        yield place, read_input
        return
    files = [each for each in sorted(place.rglob("*")) if not each.is_dir()]
    if not files:
        raise ConfigurationError(f"there is no signed head in {place}: is its disk there?")
    yield from ((file, partial(read_file, closed_to=0)) for file in files)
