"""Trusted documents: the queries of known clients, named by the SHA-256 of their text.

A request names one by `documentId`, as in the GraphQL-over-HTTP specification (`sha256:` and 64 hex digits), or by
`extensions.persistedQuery.sha256Hash`, which Apollo's clients send. A request never registers a document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from graphql import GraphQLError, GraphQLSchema, specified_rules, validate

from domain.errors import ConfigurationError
from graphql_api.errors import QueryError
from graphql_api.limits import read_document, size_rule
from queries.error_codes import Code
from queries.limits import QueryLimits

_PREFIX = "sha256:"
_HASH = re.compile("[0-9a-f]{64}")


def hash_of(document: str) -> str:
    """The SHA-256 of a document's text in UTF-8, as 64 hex digits."""
    return sha256(document.encode("utf-8", "surrogatepass")).hexdigest()


class TrustedDocuments:
    """Documents by their hash. With `only`, nothing else is executed."""

    def __init__(self, documents: Iterable[str] = (), *, only: bool = False) -> None:
        self._documents = {hash_of(each): each for each in documents}
        self._texts = frozenset(self._documents.values())
        self._only = only

    def text(self, request: Mapping[str, Any]) -> str | None:
        """The text of a request's document; None when it neither names nor sends one.

        `request` is an object of GraphQL over HTTP or of graphql-transport-ws, not validated yet. Raises `QueryError`.
        """
        sent = request.get("query")
        wanted, is_apollo = _named(request)
        if wanted is None:
            if sent and self._only and sent not in self._texts:
                raise QueryError(Code.DOCUMENT_NOT_TRUSTED, "only trusted documents are executed here")
            return sent
        if sent and hash_of(sent) != wanted:
            raise QueryError(Code.BAD_USER_INPUT, "the hash is not that of `query`", argument="query")
        found = self._documents.get(wanted)
        if found is not None:
            return found
        if self._only:
            raise QueryError(Code.DOCUMENT_NOT_TRUSTED, "no trusted document has this hash")
        if sent:
            return str(sent)
        if is_apollo:
            # The protocol prescribes this message: an Apollo client then sends the text.
            raise QueryError(Code.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
        raise QueryError(Code.DOCUMENT_NOT_TRUSTED, "no trusted document has this id", argument="documentId")


def _named(request: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The hash that a request names, and whether as Apollo does. Raises `QueryError` for an invalid hash."""
    given, is_apollo = request.get("documentId"), False
    if given is None:
        extensions = request.get("extensions")
        persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
        if persisted is None:
            return None, False
        given, is_apollo = persisted.get("sha256Hash") if isinstance(persisted, dict) else persisted, True
    if isinstance(given, str):
        found = given if is_apollo else given.removeprefix(_PREFIX)
        if _HASH.fullmatch(found):
            return found, is_apollo
    raise QueryError(
        Code.BAD_USER_INPUT,
        f"a document is named by {'' if is_apollo else _PREFIX}64 hex digits",
        argument="sha256Hash" if is_apollo else "documentId",
    )


_MOST_BYTES = 16 << 20


def load(source: Path) -> list[str]:
    """The documents of a JSON file, an object from hash to text, or of a folder's `.graphql` files.

    Raises `ConfigurationError` when it can't be read, or a hash is not that of its text.
    """
    try:
        if source.is_dir():
            return _folder(source)
        found = msgspec.json.decode(_read(source, _MOST_BYTES), type=dict[str, str])
    except (OSError, UnicodeError, msgspec.DecodeError) as exc:
        raise ConfigurationError(
            f"{source} holds no trusted documents: {exc if isinstance(exc, OSError) else 'not such JSON'}"
        ) from exc
    for name, text in found.items():
        if name.removeprefix(_PREFIX) != hash_of(text):
            raise ConfigurationError(f"{source}: {name[:80]} is not the SHA-256 of its document")
    return list(found.values())


def _folder(source: Path) -> list[str]:
    texts = []
    left = _MOST_BYTES
    for each in sorted(source.rglob("*.graphql")):
        data = _read(each, left)
        left -= len(data)
        texts.append(data.decode())
    return texts


def _read(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise ConfigurationError(f"{file}: trusted documents may have {_MOST_BYTES} bytes together")
    return data


def faults_of(document: str, schema: GraphQLSchema, limits: QueryLimits) -> list[str]:
    """The errors of a document, by the schema and the limits."""
    try:
        parsed = read_document(document, limits)
    except GraphQLError as exc:
        return [exc.message]
    return [error.message for error in validate(schema, parsed, rules=[*specified_rules, size_rule(limits)])]
