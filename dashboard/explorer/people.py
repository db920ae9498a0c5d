"""Who is meant by the fields "actor" and "patient": ids as they are, or names, several at once with commas."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from dashboard.explorer.addresses import Pairs, sent
from domain.errors import ConflictError, Reason
from queries.scoped.read_models import ScopedModels

ACTOR, PATIENT = "actor", "patient"
_MOST_TERMS = 20
"""Ids and names that one view may have for either field."""


class Candidate(Struct, frozen=True):
    """A person whom a name fits; `only` is what the button sends that chooses this one alone."""

    text: str
    only: str


class Named(Struct, frozen=True):
    """A name that was written, and everybody whom it fits: all of them are searched."""

    name: str
    candidates: list[Candidate]


class Meant(Struct, frozen=True):
    """The parameters with ids in the place of names, the names with their persons, and what the reader should know."""

    pairs: list[tuple[str, str]]
    named: list[Named]
    notes: list[str]
    problem: str = ""
    """Why nobody can be meant; nothing is searched then."""


def nobody(pairs: Pairs, exc: ConflictError) -> Meant:
    """What is meant by parameters whose names can't be used."""
    return Meant(list(pairs), [], [], f"{exc.field}: {exc.message}")


def meant(models: ScopedModels, pairs: Pairs) -> Meant:
    """Who is meant; blocks. Raises `ConflictError` for too many, and for a name that fits too many persons.

    A text with a comma that is an id stays whole. Without the right to look for names every text is an id.
    """
    found = [(name, value) for name, value in pairs if name not in (ACTOR, PATIENT)]
    named: list[Named] = []
    notes: list[str] = []
    for field in (ACTOR, PATIENT):
        values = [value for name, value in pairs if name == field and value]
        if not values:
            continue
        terms = {term for value in values for term in (value, *_split(value))}
        if len(terms) > _MOST_TERMS:
            raise ConflictError(Reason.INVALID_FIELD, f"at most {_MOST_TERMS} ids or names", field=field)
        if models.finds_names:
            known = models.known(field, terms)
            for term in _terms(values, known):
                ids = [term]
                if term not in known:
                    ids = _unknown(models, field, term, named, notes)
                found += [(field, id) for id in ids]
        else:
            found += [(field, term) for value in values for term in _split(value)]
            if field == ACTOR:
                notes.append("Your role finds people by their ids alone: names are not looked for.")
    return Meant(list(dict.fromkeys(found)), named, notes)


def _split(value: str) -> list[str]:
    return [term.strip() for term in value.split(",") if term.strip()] or [value]


def _terms(values: list[str], known: Collection[str]) -> list[str]:
    several = (([value] if value in known else _split(value)) for value in values)
    return list(dict.fromkeys(term for terms in several for term in terms))


def _unknown(models: ScopedModels, field: str, term: str, named: list[Named], notes: list[str]) -> list[str]:
    """The ids of an unknown text: those of the people with this name; the text itself if there is nobody."""
    if field == PATIENT:
        notes.append(
            f"No patient with the id {term} is known. Patients are found by id alone: the read models hold no names "
            "of patients."
        )
        return [term]
    people = models.named(term)
    if not people:
        notes.append(f"Nobody with the id or the name {term} is known.")
        return [term]
    named.append(
        Named(term, [Candidate(f"{each.name} ({each.id})", sent([(ACTOR, each.id)])) for each in people])
    )
    return [each.id for each in people]
