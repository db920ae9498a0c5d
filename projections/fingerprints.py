"""Fingerprints of a projector: of the tables that it declares, and of the source that fills them."""

from __future__ import annotations

import hashlib
import inspect
import traceback
from collections.abc import Iterable
from pathlib import Path

import msgspec

from event_store.statement_errors import StatementError
from projections.errors import RowError
from projections.projector import Projector
from projections.projector_output import DuplicateKeyError, ExitError
from projections.tables import Table

_MOST_OF_FAILURE = 2000
"""Maximum length in characters; names are not limited elsewhere."""


def definition_digest(tables: Iterable[Table]) -> str:
    """SHA-256, as hex, of the tables: names, columns, kinds, merges, keys and indexes."""
    declared = [
        {
            "table": table.name,
            "key": table.key,
            "columns": [
                (
                    column.name,
                    column.kind.value,
                    column.nullable,
                    (column.merge.template, column.merge.by) if column.merge else None,
                )
                for column in table.columns
            ],
            "indexes": [(index.columns, index.where) for index in table.indexes],
        }
        | ({"carried": table.carried} if table.carried else {})
        | ({} if type(table) is Table else {"form": type(table).__name__})
        for table in tables
    ]
    return hashlib.sha256(msgspec.json.encode(declared)).hexdigest()


def source_file(projector: Projector) -> Path | None:
    """The file of the projector, or of its class; None in an interpreter's session."""
    own: Path | None = getattr(projector, "file", None)
    if own is not None:
        return own
    try:
        file = inspect.getsourcefile(type(projector))
    except (TypeError, OSError):
        return None
    return Path(file) if file and Path(file).exists() else None


def on_command_line(projector: Projector) -> str:
    """The argument of a command that means this projector: its name, or its file."""
    own: Path | None = getattr(projector, "file", None)
    return projector.name if own is None else str(own)


def code_digest(projector: Projector) -> str:
    """SHA-256, as hex, of the source file of the projector's class; empty when there is none."""
    file = source_file(projector)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""


def describe_failure(projector: Projector, error: BaseException) -> str:
    """The exception's type, and the line when the projector's file raised it. Never its text, which may be data."""
    return _described(projector, error)[:_MOST_OF_FAILURE]


def _described(projector: Projector, error: BaseException) -> str:
    if isinstance(error, ExitError) and error.__cause__ is not None:
        error = error.__cause__
    name = error.name if isinstance(error, StatementError) else type(error).__qualname__
    file = source_file(projector)
    if isinstance(error, DuplicateKeyError):
        return str(error)
    if isinstance(error, RowError):
        return f"{error} ({file.name if file else ''}:{error.line})"
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if file and Path(each.filename) == file
    ]
    return f"{name} at {file.name}:{frames[-1].lineno}" if file and frames else name
