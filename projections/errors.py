"""Faults in an analyst's file, with the line. No message holds a value of an event."""

from __future__ import annotations

from domain.errors import ConfigurationError


class CodeError(ConfigurationError):
    """Stop: the file is broken as it stands. The message begins with ``file:line``."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.line = line


class RowError(Exception):
    """The file's code made rows that do not fit its tables, or its SQL failed: the event stops the projection.

    `line` is in the file; the message can be shown to anyone who may see the registry.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class LimitError(RowError):
    """The file's SQL took more time or disk than one batch may. Not worth a search for one event, so none is made."""
