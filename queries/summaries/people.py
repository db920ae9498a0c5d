"""Persons by name: the users whose names have words that begin as those of a text do."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from msgspec import Struct

from domain.errors import ConflictError, Reason
from event_store.database import Connection
from event_store.statements import load
from projections.name_words import name_words

_SQL = load(__package__, "people.sql")
MOST_PEOPLE = 20
"""Persons that one name may find: a filter for all of them still has an index for each."""
_MOST_ROWS = 1000
"""Entries of the index that are read for one name."""


class Person(Struct, frozen=True):
    """A user as the read models know them. `is_patient`: at least once, a patient acted under this name."""

    id: str
    name: str
    is_patient: bool


def find_named(connection: Connection, text: str) -> list[Person]:
    """The users whose names have words that begin with each word of `text`; in the order of their ids.

    It reads at most `_MOST_ROWS` entries of one index, whatever the size of the trail. Raises `ConflictError` when the
    name has no word to look for, or fits more persons than a list can show.
    """
    words = sorted(name_words(text), key=len, reverse=True)
    if not words:
        raise ConflictError(Reason.INVALID_FIELD, "write at least two letters of a name", field="actor")
    with connection.cursor() as cursor:
        beyond = words[0] + chr(sys.maxunicode)
        cursor.execute(_SQL["find_named"], {"word": words[0], "beyond": beyond, "most": _MOST_ROWS})
        read = cursor.fetchall()
    found = [Person(id, name, is_patient) for id, name, is_patient, _ in read if _has(name, words)]
    if len(found) > MOST_PEOPLE or any(entries == _MOST_ROWS for *_, entries in read):
        raise ConflictError(
            Reason.INVALID_FIELD,
            f"too many people have such a name, at most {MOST_PEOPLE} can be meant: write more of it, or an id",
            field="actor",
        )
    return found


def _has(name: str, words: Sequence[str]) -> bool:
    there = name_words(name)
    return all(any(each.startswith(word) for each in there) for word in words)


def known_ids(connection: Connection, kind: str, ids: Collection[str]) -> frozenset[str]:
    """Those of `ids` that the read models know; `kind` is actor or patient."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL[f"known_{kind}s"], {"ids": list(ids)})
        return frozenset(id for (id,) in cursor.fetchall())
