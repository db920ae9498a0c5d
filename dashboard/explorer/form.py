"""The form of the explorer: a field for usual conditions, boxes for the columns, and what it carries along."""

from __future__ import annotations

from msgspec import Struct

from dashboard.columns import Term
from dashboard.explorer.addresses import Pairs, conditions
from dashboard.explorer.pivots import pivot_of
from dashboard.viewer import Viewer
from queries.filters.conditions import BY_NAME, ValueKind

_USUAL = ("actor", "patient", "device", "type", "outcome", "emergency")
_FURTHER = ("service", "address", "session", "correlation_id", "resource_type", "resource_id")
FORM_CONDITIONS = (*_USUAL, *_FURTHER)
"""The conditions that the form has a field for; every other one of the API can stand in the address."""
_LABELS = {"type": "What happened", "emergency": "Break-glass", "correlation_id": "Request (correlation id)"}
_SEVERAL = "; several with commas"
_HELP = {
    "actor": f"Ids, or the beginnings of names{_SEVERAL}",
    "patient": f"Ids of patients that the event is about{_SEVERAL}",
}


class Field(Struct, frozen=True):
    """A field of the form. `options` are the values of a list and their texts, else it takes any text."""

    name: str
    label: str
    help: str
    value: str
    options: list[tuple[str, str]]


class Fields(Struct, frozen=True):
    """The fields that are always shown, and those that are folded away while they are empty."""

    usual: list[Field]
    further: list[Field]

    @property
    def is_further_given(self) -> bool:
        """Whether a field that is folded away has a value."""
        return any(each.value for each in self.further)


class Choice(Struct, frozen=True):
    """A column that can be chosen."""

    name: str
    heading: str
    is_chosen: bool


def hidden(pairs: Pairs) -> list[tuple[str, str]]:
    """The conditions that the form has no field for, and further values of those that it has."""
    seen: set[str] = set()
    found = []
    for name, value in conditions(pairs):
        if name not in FORM_CONDITIONS or name in seen:
            found.append((name, value))
        seen.add(name)
    return found


def fields(pairs: Pairs, viewer: Viewer, *, finds_names: bool) -> Fields:
    """The fields with their first values. `finds_names` tells whether an actor can be given by name.

    A field by which the viewer may not query is left out, unless the address has a value for it.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        given.setdefault(name, value)
    pivot = pivot_of(viewer)
    usual, further = (
        [
            _field(name, given.get(name, ""), finds_names=finds_names)
            for name in names
            if given.get(name) or pivot(_example(name)) is not None
        ]
        for names in (_USUAL, _FURTHER)
    )
    return Fields(usual, further)


def _field(name: str, value: str, *, finds_names: bool) -> Field:
    help = BY_NAME[name].help if name == "actor" and not finds_names else _HELP.get(name, BY_NAME[name].help)
    label = _LABELS.get(name, name.replace("_", " ").capitalize())
    return Field(name, label, help, value, _options(name))


def _example(name: str) -> list[Term]:
    """A condition of the field, to learn whether the viewer may query by it."""
    options = _options(name)
    terms = [(name, options[0][0] if options else "x")]
    return [(needed, "x"), *terms] if (needed := BY_NAME[name].needs) else terms


def _options(name: str) -> list[tuple[str, str]]:
    condition = BY_NAME[name]
    if condition.kind is ValueKind.FLAG:
        return [("true", "yes"), ("false", "no")]
    return [(each, each) for each in condition.words] if condition.kind is ValueKind.WORD else []
