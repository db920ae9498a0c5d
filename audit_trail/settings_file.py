"""The settings file: TOML, which `AUDIT_TRAIL_SETTINGS_FILE` names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from audit_trail.environment import FILE_VARIABLE
from domain.errors import ConfigurationError
from event_store.files.folders import read_file

_MOST_BYTES = 1 << 20


def values_of(file: Path) -> dict[str, Any]:
    """The values in the settings file. It may hold passwords, and anyone who can write it controls this process.

    Raises `ConfigurationError` when it can't be read or others may write it, and `ValueError` when it is not TOML.
    """
    try:
        return tomllib.loads(read_file(file, _MOST_BYTES).decode())
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{FILE_VARIABLE} names {file}, and there is no such file") from exc
    except OSError as exc:
        raise ConfigurationError(f"{FILE_VARIABLE}: {file} can't be read: {exc.strerror}") from exc
    except ConfigurationError as exc:
        raise ConfigurationError(f"{FILE_VARIABLE}: {exc}") from exc
