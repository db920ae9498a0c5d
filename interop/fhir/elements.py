"""Read arbitrary FHIR JSON: each function returns a value of the expected shape, or an empty one.

An AuditEvent is accepted even when parts of it violate FHIR, so only the size checks raise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from domain.errors import InvalidEventError, Reason
from domain.event import Coding
from interop import truncation

Json = dict[str, Any]

MAX_ELEMENTS = 2000
"""Agents, entities or contained resources of one AuditEvent. Each takes about 10 us to read and 500 bytes of memory."""
MAX_CONTAINERS = 20_000
"""Arrays and objects in one AuditEvent: ten for each element."""
_IDENTIFYING = frozenset({"identifier", "_id"})

_REFERENCE = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.\-]*://[^/]+/(?:[^?#]*/)?|/)?"  # the server's address, if absolute
    r"(?P<type>[A-Z][A-Za-z]*)/(?P<id>[^/?#|\s]+)(?:/_history/(?P<version>[^/?#|\s]+))?"
)
_TYPE = re.compile(r"[A-Z][A-Za-z]*")
_URN_UUID = "urn:uuid:"


def check_size(resource: Json, lists: Sequence[str]) -> None:
    """Raise `InvalidEventError` when one of `lists`, or the whole resource, exceeds its limit."""
    for name in lists:
        if isinstance(resource.get(name), list) and len(resource[name]) > MAX_ELEMENTS:
            raise InvalidEventError(
                Reason.OVERSIZED, f"at most {MAX_ELEMENTS} elements; send several events", field=name
            )
    left: list[Any] = [resource]
    for number, part in enumerate(left):  # the list grows as it is read
        if number > MAX_CONTAINERS:
            raise InvalidEventError(
                Reason.OVERSIZED,
                f"an AuditEvent of more than {MAX_CONTAINERS} arrays and objects; send several events",
            )
        inner = part.values() if isinstance(part, dict) else part
        left += [item for item in inner if isinstance(item, dict | list)]


def mapping(value: Any) -> Json:
    """`value` if it is an object, else an empty object."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Json]:
    """The objects in a list; a single object counts as a list."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict) and item]


def string(value: Any) -> str | None:
    """A stripped string; None if it is blank or not a string."""
    return (value.strip() or None) if isinstance(value, str) else None


def codings(value: Any) -> list[Coding]:
    """The codings of a Coding, a CodeableConcept or a list of either. Text without a coding becomes its display."""
    found: list[Coding] = []
    for concept in objects(value):
        inner = objects(concept.get("coding")) or [concept]
        for item in inner:
            coding = Coding(
                system=truncation.name(string(item.get("system"))),
                code=truncation.name(string(item.get("code"))),
                display=truncation.name(string(item.get("display")) or string(concept.get("text"))),
            )
            if coding.code or coding.display:
                found.append(coding)
    return found


def codes(value: Any) -> set[str]:
    """The codes of `codings` without their systems."""
    return {coding.code for coding in codings(value) if coding.code}


def words(value: Any) -> list[str]:
    """One text for each concept: its first code, else its display."""
    found = []
    for concept in objects(value):
        readable = [coding.code or coding.display for coding in codings(concept)]
        if readable and readable[0]:
            found.append(readable[0])
    return found


class Target(Struct, frozen=True):
    """The target of a Reference. `id` is the reference's own; `identifier` is the value of its logical identifier."""

    type: str | None = None
    id: str | None = None
    version: str | None = None
    identifier: str | None = None
    identifier_type: str = ""
    display: str | None = None
    software_version: str | None = None

    @property
    def bare(self) -> str | None:
        """The id without its type: the reference's id, else the identifier, else the display."""
        return self.id or self.identifier or self.display

    @property
    def key(self) -> str | None:
        """The id with its type, such as ``Practitioner/17``. A patient has the bare id."""
        if self.id and self.type and self.type != "Patient":
            return f"{self.type}/{self.id}"
        return self.bare


_NOBODY = Target()


def parse_reference(reference: str) -> Target:
    """Parse a reference: relative, absolute, versioned, conditional or ``urn:uuid``. Other text becomes the id."""
    match = _REFERENCE.fullmatch(reference)
    if match:
        return Target(match["type"], match["id"], match["version"])
    conditional = _conditional(reference)
    if conditional is not None:
        return conditional
    if reference.lower().startswith(_URN_UUID):
        return Target(id=reference[len(_URN_UUID) :].lower() or None)
    return Target(id=reference)


def _conditional(reference: str) -> Target | None:
    """Parse ``Patient?identifier=system|value``: the last such parameter with a value."""
    type, _, query = reference.partition("?")
    if not query or not _TYPE.fullmatch(type):
        return None
    query, mark, fragment = query.partition("#")
    following = mark + fragment
    for parameter in reversed(query.split("&")):
        name, _, value = parameter.partition("=")
        # A line break before the end of the value belongs to the value; one after it means that this is not a
        # reference.
        if "\n" in following:
            return None
        if name in _IDENTIFYING and value:
            return Target(type, identifier=unquote(value).rpartition("|")[2] or None)
        following = parameter
    return None


class _Inner(Struct, frozen=True):
    """The relevant parts of a contained resource, each shortened once here: many references may name one resource."""

    type: str | None = None
    identifier: str | None = None
    identifier_type: str = ""
    display: str | None = None
    software_version: str | None = None
    is_outcome: bool = False


_NOTHING = _Inner()


class Contained:
    """The contained resources of a resource, by local id."""

    def __init__(self, resource: Json) -> None:
        self._by_id: Mapping[str, Json] = {
            str(item["id"]): item for item in objects(resource.get("contained")) if item.get("id")
        }
        self._read: dict[str, _Inner] = {}

    def __iter__(self) -> Iterator[Json]:
        return iter(self._by_id.values())

    def target(self, value: Any) -> Target:
        """The target of a Reference (or a plain reference string). A local reference is resolved."""
        reference = mapping(value)
        literal = string(reference.get("reference")) or string(value)
        inner = self._inner(literal[1:]) if literal and literal.startswith("#") else _NOTHING
        named = parse_reference(literal) if literal else _NOBODY
        logical = objects(reference.get("identifier"))
        typed = string(reference.get("type"))
        identifier = string(logical[0].get("value")) if logical else inner.identifier
        display = string(reference.get("display")) or inner.display
        # A local id has no meaning outside this resource, so it is used only when there is nothing better. The display
        # of an OperationOutcome is its text and does not identify it.
        local = inner is not _NOTHING and bool(identifier or (display and not inner.is_outcome))
        return Target(
            type=named.type or inner.type or (typed.rpartition("/")[2] if typed else None),
            id=None if local else named.id,
            version=named.version,
            identifier=identifier or named.identifier,
            identifier_type=_identifier_type(logical) if logical else inner.identifier_type,
            display=display,
            software_version=inner.software_version,
        )

    def _inner(self, id: str) -> _Inner:
        if id not in self._read:
            resource = self._by_id.get(id)
            self._read[id] = _NOTHING if resource is None else _inner(resource)
        return self._read[id]


def _inner(resource: Json) -> _Inner:
    logical = objects(resource.get("identifier"))
    return _Inner(
        type=truncation.identifier(string(resource.get("resourceType"))),
        identifier=truncation.identifier(string(logical[0].get("value"))) if logical else None,
        identifier_type=(_identifier_type(logical) if logical else "")[: truncation.NAME_LENGTH],
        display=truncation.name(_name(resource)),
        software_version=truncation.name(_software_version(resource)),
        is_outcome=resource.get("resourceType") == "OperationOutcome",
    )


def _identifier_type(logical: list[Json]) -> str:
    kind = mapping(logical[0].get("type"))
    return " ".join([*sorted(codes(kind)), string(kind.get("text")) or ""])


def _name(resource: Json) -> str | None:
    """The name of a contained person, device or organisation."""
    name = resource.get("name")
    if isinstance(name, str):
        return string(name)
    for part in objects(name) or objects(resource.get("deviceName")):
        given = part.get("given")
        names = [*given, part.get("family")] if isinstance(given, list) else [part.get("family")]
        whole = string(part.get("text")) or string(part.get("name"))
        return whole or string(" ".join(item for item in names if isinstance(item, str)))
    return None


def _software_version(resource: Json) -> str | None:
    if resource.get("resourceType") != "Device":
        return None
    versions = objects(resource.get("version"))
    return string(versions[0].get("value")) if versions else string(resource.get("version"))
