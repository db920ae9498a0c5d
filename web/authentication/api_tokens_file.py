"""Writes the file of API tokens: each change replaces the whole file, which only its owner can read."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from domain.errors import ConfigurationError
from event_store.files.folders import Folder
from web.authentication.api_tokens import ApiToken, digest, read_tokens

_ID_LETTERS = string.ascii_lowercase + string.digits
_HEAD = "# API tokens of Audit Trail: digests, no secrets. Written by `audit-trail tokens`.\n"


def add_token(path: Path, make: Callable[[str, str], ApiToken]) -> str:
    """Add the entry that `make` returns for an id and a digest. Returns the token, which is stored nowhere."""
    id = "".join(secrets.choice(_ID_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    try:
        entry = msgspec.convert(msgspec.to_builtins(make(id, digest(secret))), ApiToken)
        _entry(entry).encode()
    except msgspec.ValidationError as exc:
        raise ConfigurationError(f"the token: {exc}") from exc
    except UnicodeError as exc:
        raise ConfigurationError("the token: names are UTF-8") from exc
    with _held(path) as folder:
        known = read_tokens(path) if path.exists() else {}
        _write(folder, path.name, {**known, id: entry})
    return f"at_{id}_{secret}"


def remove_token(path: Path, id: str) -> None:
    """Remove an entry. Raises `ConfigurationError` for an unknown id."""
    with _held(path) as folder:
        known = read_tokens(path)
        if id not in known:
            raise ConfigurationError("no token has this id; see `tokens list`")
        _write(folder, path.name, {name: entry for name, entry in known.items() if name != id})


@contextmanager
def _held(path: Path) -> Iterator[Folder]:
    """The file's folder, under a lock: concurrent changes run one after the other."""
    try:
        with Folder.open(path.parent) as folder, folder.locked(f".{path.name}.lock", wait=True):
            yield folder
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be written: {exc.strerror}") from exc


def _write(folder: Folder, name: str, entries: Mapping[str, ApiToken]) -> None:
    folder.replace(name, (_HEAD + "".join(map(_entry, entries.values()))).encode())


def _entry(entry: ApiToken) -> str:
    lines = [
        f"{name} = {value.isoformat() if isinstance(value, datetime) else _toml(value)}"
        for name in entry.__struct_fields__
        if (value := getattr(entry, name)) not in (None, ())
    ]
    return "\n[[token]]\n" + "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """JSON strings and lists are valid TOML, except for surrogates and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
