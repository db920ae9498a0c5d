"""Secrets in files, as Docker, Kubernetes and systemd give them."""

from __future__ import annotations

from pathlib import Path

from domain.errors import ConfigurationError
from event_store.files.folders import read_file

_MAX_BYTES = 64 << 10


def read_secret_file(file: str, what: str) -> str:
    """The text of a secret's file, in UTF-8, without a line break at its end; it may be empty.

    Raises `ConfigurationError` when the file can't be read. The message begins with `what`, which names the file.
    """
    try:
        text = read_file(Path(file), _MAX_BYTES).decode()
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{what} names {file}, and there is no such file") from exc
    except OSError as exc:
        raise ConfigurationError(f"{what}: {file} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{what}: {file} is not UTF-8") from exc
    except ConfigurationError as exc:
        raise ConfigurationError(f"{what}: {exc}") from exc
    return text.removesuffix("\n").removesuffix("\r")
