"""Load named SQL statements from a `.sql` file beside the module that uses them."""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(package: str, file: str) -> dict[str, str]:
    """The statements of `file` by name. Each follows a line ``-- name: word`` and is executed as one call."""
    _, *parts = _NAME.split(resources.files(package).joinpath(file).read_text("utf-8"))
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
