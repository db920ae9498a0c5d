"""Secrets in files, as Docker, Kubernetes and systemd give them: `AUDIT_TRAIL_<SETTING>_FILE` names the file."""

from __future__ import annotations

import os
from collections.abc import Iterable

from audit_trail.environment import PREFIX
from domain.errors import ConfigurationError
from event_store.files.secrets import read_secret_file


def file_variable(setting: str) -> str:
    """The variable that names the file of a secret setting."""
    return f"{PREFIX}{setting.upper()}_FILE"


def secrets_in_files(settings: Iterable[str]) -> dict[str, str]:
    """The values of those secret settings whose variable names a file. A line break at the end is not part of them.

    Raises `ConfigurationError` when a file can't be read or is empty, and when the secret also has its own variable.
    """
    return {
        each: _secret(each, os.environ[variable])
        for each in settings
        if (variable := file_variable(each)) in os.environ
    }


def _secret(setting: str, file: str) -> str:
    variable, own = file_variable(setting), f"{PREFIX}{setting.upper()}"
    if own in os.environ:
        raise ConfigurationError(f"{own} and {variable} are both set: keep one")
    value = read_secret_file(file, variable)
    if not value:
        raise ConfigurationError(f"{variable}: {file} is empty")
    return value
