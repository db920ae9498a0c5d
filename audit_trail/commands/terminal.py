"""Input and output of commands: the console, cells and texts that are safe to print, moments."""

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

from domain.errors import ConfigurationError

out = Console(width=None if sys.stdout.isatty() else 1000)  # for a pipe, one row is one line

Unrecorded = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        help="Continue, for this reason, even when the access can't be recorded in the trail.",
    ),
]
"""An option of every command that shows data of the trail."""

_WORD = re.compile(r"[A-Za-z0-9_./+@\[\]-]+")
_SHOWN = 200
"""Characters of one cell. The sender decides how long a field's name is."""


def plain(text: str) -> Text:
    """A cell with exactly this text: a sender's text is neither markup nor control sequences for the terminal."""
    return Text(visible(text if len(text) <= _SHOWN else text[:_SHOWN] + "..."))


def visible(text: str) -> str:
    """`text` with an escape for each character that is not printable."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    """A text from outside: unchanged when it is one plain word, otherwise as a JSON string.

    So it can't look like the field, the column or the line after it.
    """
    return text if _WORD.fullmatch(text) else visible(json.dumps(text, ensure_ascii=False))


def moment(option: str, text: str) -> datetime:
    """The instant of an option: the start of a date in UTC, or a time with its offset."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found
    raise wrong(
        option, "give a date such as 2026-03-01, or a time with its offset such as 2026-03-01T08:00:00+01:00"
    )


def decision_text(text: str, option: str, most: int) -> str:
    """The text of `--by` or `--reason`, which the trail keeps. Raises `ConfigurationError`."""
    text = text.strip()
    if not text or len(text) > most:
        raise ConfigurationError(f"{option}: give 1 to {most} characters")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ConfigurationError(f"{option}: give valid UTF-8 without NUL")
    return text


def wrong(argument: str, message: str) -> ConfigurationError:
    """The error for an option or an argument that has to be changed: the command ends with 2, whatever is wrong."""
    return ConfigurationError(f"{argument}: {message}")
