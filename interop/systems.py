"""Namespaces of ids: the FHIR servers and identifier systems that give them, and which of these are the same.

An id means something only within the system that gave it: ``Patient/17`` of two FHIR servers are two patients. An id of
the trail's own systems is written as it is, ``17``. An id of any other system has the system before it, as in a token
search of FHIR (R4, section 3.1.1.4.10): ``https://b.example/fhir|17``, or ``lab|17`` where a setting gives the system a
short name. Systems with one name are one namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_SCHEME_AND_HOST = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://[^/]*)(.*)", re.DOTALL)


class Systems:
    """The names of systems. Without names every system but an unstated one is foreign."""

    def __init__(self, names: Iterable[tuple[str, str]] = ()) -> None:
        """`names` are systems with their names: ``""`` is the trail's own namespace. Raises `ValueError`."""
        self._names: dict[str, str] = {}
        for system, name in names:
            if not system.strip():
                raise ValueError("a system must not be empty")
            if name and not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no name of a system: letters, digits, dot, dash and underscore, at most 40"
                )
            if self._names.setdefault(_normalised(system), name) != name:
                raise ValueError(f"{system!r} has two names")

    def qualified(self, system: str | None, id: str) -> str:
        """`id` as the trail writes it. An unstated system is the trail's own."""
        if not system:
            return id
        system = _normalised(system)
        name = self._names.get(system, system)
        return f"{name}|{id}" if name else id


def _normalised(system: str) -> str:
    """Scheme and host without regard to case, no slash at the end. OIDs and UUIDs in small letters."""
    system = system.strip().rstrip("/")
    address = _SCHEME_AND_HOST.fullmatch(system)
    if address:
        return address[1].lower() + address[2]
    return system.lower() if system.lower().startswith("urn:") else system


OWN = Systems()
"""No system is named."""
