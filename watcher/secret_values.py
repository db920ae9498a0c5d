"""Secrets of targets: from a file or a variable, read for each check, and never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from msgspec import Struct

from domain.errors import ConfigurationError
from event_store.files.folders import read_file

_MAX_BYTES = 64 << 10


class SecretValue(Struct, frozen=True):
    """Where a secret is: `name` is a file or an environment variable. Its text is `prefix` and the secret."""

    kind: Literal["file", "env"]
    name: str
    prefix: str = ""

    def read(self) -> str:
        """The secret, now. A line break at the end of a file is not part of it.

        Raises `ConfigurationError`, which says what is missing and quotes nothing.
        """
        value = os.environ.get(self.name, "") if self.kind == "env" else _text(self.name)
        if not value:
            what = f"the variable {self.name}" if self.kind == "env" else f"the file {self.name}"
            raise ConfigurationError(f"{what} is not set or empty")
        if not value.isprintable():
            raise ConfigurationError(f"{self.kind} {self.name} holds more than one line of text")
        return self.prefix + value


def _text(file: str) -> str:
    try:
        text = read_file(Path(file), _MAX_BYTES).decode()
    except OSError as exc:
        raise ConfigurationError(f"the file {file} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"the file {file} is not UTF-8") from exc
    return text.removesuffix("\n").removesuffix("\r")
