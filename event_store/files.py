"""Files that somebody else may have written, read within a limit."""

from __future__ import annotations

from pathlib import Path

from domain.errors import ConfigurationError


def read_limited(path: Path, most: int) -> bytes:
    """All of a file. Raises `ConfigurationError` when it is larger than `most` bytes, and `OSError` as `open` does.

    The size is that of what is read: a pipe or a device has none that could be asked first.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ConfigurationError(f"{path} is larger than the {most} bytes that such a file may have")
    return data
