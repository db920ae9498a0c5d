"""What commands share when they speak to a terminal or a pipe."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from domain.errors import Reason, RejectedError

out = Console(width=None if sys.stdout.isatty() else 1000)  # for a pipe, one row is one line

Unrecorded = Annotated[
    str | None,
    typer.Option(
        metavar="REASON", help="Go on, for this reason, also when it can't be put on record that you looked."
    ),
]
"""Of commands that show what is in the trail."""

_WORD = re.compile(r"[A-Za-z0-9_./+@\[\]-]+")
_SHOWN = 200
"""Characters of one cell. A field's name can be as long as its sender likes."""


def plain(text: str) -> Text:
    """A cell that says what it says: the words of a sender are neither markup nor orders to the terminal."""
    return Text(visible(text if len(text) <= _SHOWN else text[:_SHOWN] + "..."))


def visible(text: str) -> str:
    """`text` with what is no printable character written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    """A text that others chose: as it is when it is one plain word, else as a JSON string.

    So it can't pass for the field, the column or the line that comes after it.
    """
    return text if _WORD.fullmatch(text) else visible(json.dumps(text, ensure_ascii=False))


def moment(option: str, text: str) -> datetime:
    """The instant that an option names: the begin of a date in UTC, or a time with offset. Raises `RejectedError`."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found
    raise RejectedError(
        Reason.INVALID_FIELD,
        "give a date such as 2026-03-01, or a time with its offset such as 2026-03-01T08:00:00+01:00",
        field=option,
    )
