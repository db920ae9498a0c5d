"""What commands share when they speak to a terminal or a pipe."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

out = Console(width=None if sys.stdout.isatty() else 1000)  # for a pipe, one row is one line

Unrecorded = Annotated[
    str | None,
    typer.Option(
        metavar="REASON", help="Go on, for this reason, also when it can't be put on record that you looked."
    ),
]
"""Of commands that show what is in the trail."""

_SHOWN = 200
"""Characters of one cell. A field's name can be as long as its sender likes."""


def plain(text: str) -> Text:
    """A cell that says what it says: the words of a sender are neither markup nor orders to the terminal."""
    return Text(visible(text if len(text) <= _SHOWN else text[:_SHOWN] + "..."))


def visible(text: str) -> str:
    """`text` with what is no printable character written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
