"""Ids of FHIR resources, written as the trail writes them in events (decision 21)."""

from __future__ import annotations

import re
from typing import Any

from interop.fhir.elements import Contained, Target, mapping, objects, parse_reference, string
from interop.systems import Systems

_RELATIVE = re.compile(r"[A-Z][A-Za-z]*/[^/?#|\s]+(?:/_history/[^/?#|\s]+)?")
_URN = "urn:uuid:"
_PERSONS = {"Practitioner", "PractitionerRole", None}
_DEPARTMENTS = {"Organization", "HealthcareService", "Location", None}
"""Types of references; None is one that states no type."""


class Ids:
    """The ids in one resource. Relative references are of the server of its full URL, else of `base`."""

    def __init__(
        self, resource: dict[str, Any], systems: Systems, full_url: str | None, base: str | None
    ) -> None:
        self._systems = systems
        self._contained = Contained(resource, systems)
        self._id = string(resource.get("id"))
        self._identifiers = objects(resource.get("identifier"))
        self._urn: str | None = None
        if full_url and full_url.lower().startswith(_URN):
            self._urn = full_url[len(_URN) :].lower() or None
        named = parse_reference(full_url, systems) if full_url and self._urn is None else None
        self._server = (named and named.server) or (base and f"{base.rstrip('/')}/")

    def own(self, type: str | None = None) -> str | None:
        """The id of the resource; with `type` before it, as an actor has it: ``Practitioner/5``."""
        id = self._id or self._urn
        if id is None:
            return None
        return self._systems.qualified(self._server, f"{type}/{id}" if type else id)

    def others(self, *, qualified: bool) -> list[str]:
        """The other ids: identifiers, and the UUID that names it in its bundle.

        An identifier of a patient belongs to its system. That of a person has no prefix, as in events.
        """
        found = [self._urn] if self._urn and (self._urn != self._id or not qualified) else []
        for each in self._identifiers:
            value, system = string(each.get("value")), string(each.get("system"))
            if value and each.get("use") != "old":
                found.append(self._systems.qualified(system, value) if qualified else value)
        return found

    def patient(self, reference: Any) -> str | None:
        """The patient whom a reference names; None for a name alone."""
        target = self._target(reference)
        known = target.type in {"Patient", None} and (target.id or target.identifier)
        return target.patient_id if known else None

    def person(self, reference: Any) -> str | None:
        """The person whom a reference names, a practitioner or one in a role; None for others and for a name alone."""
        target = self._target(reference)
        known = target.type in _PERSONS and (target.id or target.identifier)
        return target.key if known else None

    def department(self, reference: Any) -> str | None:
        """The organisation, service or place that a reference names."""
        target = self._target(reference)
        return target.bare if target.type in _DEPARTMENTS else None

    def _target(self, reference: Any) -> Target:
        literal = string(mapping(reference).get("reference"))
        if literal and self._server and _RELATIVE.fullmatch(literal):
            reference = {**reference, "reference": f"{self._server}{literal}"}
        return self._contained.target(reference)
