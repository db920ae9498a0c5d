"""API tokens of machines: ``at_ID_SECRET``. The file of the server holds digests, never a secret.

A secret is 256 random bits, so one SHA-256 of it is as safe as a slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import Meta, Struct

from domain.access.principal import Principal, Role
from domain.errors import ConfigurationError, UnauthenticatedError
from domain.event import ActorKind, Identifier
from event_store.files.folders import read_file

log = structlog.get_logger(__name__)

_TOKEN = re.compile(r"at_([a-z0-9]{4,32})_([A-Za-z0-9_-]{43})")
_INVALID = "invalid_token"
_MOST_BYTES = 16 << 20
"""The largest file: some ten thousand tokens."""

Some = Annotated[tuple[Identifier, ...], Meta(min_length=1)]
"""One or more values, or absent. An empty list is invalid: it could be read as everything or as nothing."""


class ApiToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the file. Access records show its `name`."""

    id: Annotated[str, Meta(pattern="^[a-z0-9]{4,32}$")]
    name: Identifier
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    roles: tuple[Role, ...]
    sources: Some = ()
    patients: Some = ()
    devices: Some = ()
    created: datetime | None = None
    expires: datetime | None = None

    def expires_at(self) -> datetime | None:
        """When the token expires; a time without an offset is UTC."""
        naive = self.expires is not None and self.expires.tzinfo is None
        return self.expires.replace(tzinfo=UTC) if self.expires is not None and naive else self.expires

    def principal(self) -> Principal:
        """The principal of the token."""
        return Principal(
            id=self.name,
            name=self.name,
            kind=ActorKind.SERVICE,
            roles=frozenset(self.roles),
            session=f"at_{self.id}",
            actors=(self.name,),
            sources=self.sources,
            patients=self.patients,
            devices=self.devices,
            expires_at=self.expires_at(),
        )


class _File(Struct, forbid_unknown_fields=True):
    token: list[ApiToken] = []


_MOST_BYTES = 16 << 20
"""Some fifty thousand tokens."""


def read_tokens(path: Path) -> dict[str, ApiToken]:
    """The tokens of a file by their ids. Raises `ConfigurationError` that names the entry and the field."""
    try:
        document = tomllib.loads(read_file(path, _MOST_BYTES).decode())
        entries = msgspec.convert(document, _File, strict=False).token
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from exc
    except (ValueError, msgspec.ValidationError) as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc
    found = {entry.id: entry for entry in entries}
    if len(found) < len(entries):
        raise ConfigurationError(f"{path}: two tokens have the same id")
    return found


def digest(secret: str) -> str:
    """The digest of a secret, as the file has it."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiTokens:
    """The tokens of a file, which is read again when it changes. While it can't be read, known tokens stay valid."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigurationError` when the file is invalid."""
        self._path = path
        self._changed = self._mark()  # before the read, so that a change in between is noticed
        self._tokens: Mapping[str, ApiToken] = read_tokens(path)

    async def principal(self, token: str) -> Principal | None:
        """The principal of a token, as `web.authentication.bearer.Authenticator` says."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        self._read_again()
        entry = self._tokens.get(match[1])
        # Compared also without an entry, so that the time does not disclose whether there is one.
        good = hmac.compare_digest(digest(match[2]), entry.sha256 if entry else "0" * 64)
        if entry is None or not good:
            raise UnauthenticatedError("the token is not valid", code=_INVALID)
        ends = entry.expires_at()
        if ends is not None and ends <= datetime.now(UTC):
            raise UnauthenticatedError("the token has expired", code=_INVALID)
        return entry.principal()

    def _mark(self) -> Any:
        try:
            state = self._path.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _read_again(self) -> None:
        mark = self._mark()
        if mark == self._changed:
            return
        self._changed = mark
        try:
            self._tokens = read_tokens(self._path)
        except ConfigurationError:
            log.error("api_tokens_not_read")  # noqa: TRY400 - the message may quote the file
