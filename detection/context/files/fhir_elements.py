"""Names, addresses, times and labels of FHIR resources, as context tables have them."""

from __future__ import annotations

import calendar
import re
from typing import Any

from interop.fhir.elements import codes, mapping, objects, string

Json = dict[str, Any]

_PART = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")


def family_name(resource: Json) -> str | None:
    """The family name: of the official name if there is one."""
    return next((string(each.get("family")) for each in _names(resource) if string(each.get("family"))), None)


def name(resource: Json) -> str | None:
    """The whole name, to show."""
    for each in _names(resource):
        given = each.get("given")
        parts = [*(given if isinstance(given, list) else ()), each.get("family")]
        whole = string(each.get("text")) or " ".join(part for part in parts if isinstance(part, str)).strip()
        if whole:
            return whole
    return None


def address(resource: Json) -> str | None:
    """The home address: street, postal code and city. An old one, and that of the place of work, say nothing."""
    known = [
        each for each in objects(resource.get("address")) if string(each.get("use")) not in {"old", "work"}
    ]
    for each in sorted(known, key=lambda each: each.get("use") != "home"):
        lines = each.get("line")
        parts = [*(lines if isinstance(lines, list) else ()), each.get("postalCode"), each.get("city")]
        found = " ".join(part for part in parts if isinstance(part, str)) or string(each.get("text"))
        if found:
            return found
    return None


def email(resource: Json) -> str | None:
    """The mail address at work."""
    known = [each for each in objects(resource.get("telecom")) if string(each.get("system")) == "email"]
    at_work = [each for each in known if string(each.get("use")) in {"work", None}]
    return next((string(each.get("value")) for each in at_work), None)


def security(resource: Json) -> set[str]:
    """The codes of the security labels."""
    return codes(mapping(resource.get("meta")).get("security"))


def starts(period: Json) -> str | None:
    """The beginning of a Period. A year or a month alone begins with its first day."""
    text = string(period.get("start"))
    part = _PART.fullmatch(text or "")
    return f"{part[1]}-{part[2] or '01'}-01" if part else text


def ends(period: Json) -> str | None:
    """The end of a Period. A year or a month alone ends with its last day."""
    text = string(period.get("end"))
    part = _PART.fullmatch(text or "")
    if part is None:
        return text
    year, month = int(part[1]), int(part[2] or 12)
    if not 1 <= month <= 12 or not year:
        return text
    return f"{part[1]}-{month:02}-{calendar.monthrange(year, month)[1]:02}"


def _names(resource: Json) -> list[Json]:
    order = {"official": 0, "usual": 1, "old": 3, "maiden": 3}
    return sorted(objects(resource.get("name")), key=lambda each: order.get(str(each.get("use")), 2))
