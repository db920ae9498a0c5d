"""FHIR resources to rows of context tables, R4 and R5. What makes no row is counted with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from detection.context.files.fhir_elements import address, ends, family_name, security, starts
from detection.context.files.fhir_ids import Ids
from detection.context.files.fhir_staff import Staff
from detection.context.files.source import Found, Tally
from detection.context.tables import Table
from detection.context.values import Given
from interop.fhir.elements import codes, mapping, objects, string

Json = dict[str, Any]
Rows = list[dict[str, Given]]

_INVALID = {"entered-in-error", "cancelled", "discontinued", "proposed", "draft"}
_REFERRAL = "3457005"
"""Patient referral, of SNOMED CT: the category of a ServiceRequest that is one."""
_VIP = {"CEL", "VIP"}
"""Security labels (v3-ActCode) of patients about whom people are curious."""


class FhirRows:
    """The rows of one table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._staff = Staff()

    def read(self, kind: str, resource: Json, ids: Ids, place: str, tally: Tally) -> Iterator[Found]:
        """The rows that follow from this resource alone."""
        if kind not in self._table.fhir:
            tally.leave_out(kind)
        elif (status := string(resource.get("status"))) in _INVALID:
            tally.leave_out(f"{kind} with the status {status}")
        elif self._table.name == "staff":
            self._staff.add(kind, resource, ids, place, tally)
        else:
            made = _READERS[self._table.name](resource, ids)
            if isinstance(made, str):
                tally.leave_out(f"{kind} {made}")
            else:
                yield from (Found(place, given) for given in made)

    def finish(self, tally: Tally) -> Iterator[Found]:
        """The rows that several resources make."""
        return self._staff.rows(tally)


def _patients(resource: Json, ids: Ids) -> Rows | str:
    if not (id := ids.own()):
        return "without an id"
    deceased = resource.get("deceasedBoolean")
    return [
        {
            "id": id,
            "other_ids": [each for each in ids.others(qualified=True) if each != id],
            "family_name": family_name(resource),
            "address": address(resource),
            "birth_date": _whole_date(resource.get("birthDate")),
            "deceased": deceased if isinstance(deceased, bool) else None,
            "deceased_at": ends({"end": resource.get("deceasedDateTime")}),
            "vip": bool(security(resource) & _VIP),
        }
    ]


def _vips(resource: Json, ids: Ids) -> Rows | str:
    labels = security(resource) & _VIP
    if not labels:
        return "without a label of a VIP"
    if not (id := ids.own()):
        return "without an id"
    return [{"patient": id, "why": min(labels)}]


def _encounters(resource: Json, ids: Ids) -> Rows | str:
    patient = ids.patient(resource.get("subject"))
    period = mapping(resource.get("actualPeriod")) or mapping(resource.get("period"))
    begins = starts(period) or string(resource.get("plannedStartDate"))
    if not patient or not begins or not (id := ids.own()):
        return f"without {'a patient' if not patient else 'a beginning' if not begins else 'an id'}"
    people = [
        ids.person(each.get("individual") or each.get("actor"))
        for each in objects(resource.get("participant"))
    ]
    places = [ids.department(each.get("location")) for each in objects(resource.get("location"))]
    return [
        {
            "id": id,
            "patient": patient,
            "starts_at": begins,
            "ends_at": ends(period),
            "department": ids.department(resource.get("serviceProvider"))
            or next(filter(None, reversed(places)), None),
            "practitioners": [each for each in people if each],
        }
    ]


def _care_teams(resource: Json, ids: Ids) -> Rows | str:
    patient = ids.patient(resource.get("subject"))
    if not patient:
        return "without a patient"
    whole = mapping(resource.get("period"))
    status = string(resource.get("status"))
    if status in {"inactive", "suspended"} and not ends(whole):
        return f"that is {status} since an unknown time"
    rows: Rows = []
    for each in objects(resource.get("participant")):
        period = mapping(each.get("coveragePeriod")) or mapping(each.get("period"))
        if person := ids.person(each.get("member")):
            rows.append(
                {
                    "patient": patient,
                    "staff": person,
                    "starts_at": starts(period) or starts(whole),
                    "ends_at": ends(period) or ends(whole),
                }
            )
    return rows or "without a practitioner"


def _orders(resource: Json, ids: Ids) -> Rows | str:
    patient = ids.patient(resource.get("subject"))
    period = mapping(resource.get("occurrencePeriod"))
    at = string(resource.get("authoredOn")) or string(resource.get("occurrenceDateTime")) or starts(period)
    if not patient or not at:
        return f"without {'a patient' if not patient else 'a time'}"
    performers = objects(resource.get("performer"))
    people = [ids.person(each) for each in (resource.get("requester"), *performers) if each]
    departments = [ids.department(each) for each in performers if not ids.person(each)]
    if not any(people) and not any(departments):
        return "without anybody who asks for it or carries it out"
    return [
        {
            "patient": patient,
            "at": starts({"start": at}),
            "staff": [each for each in people if each],
            "departments": [each for each in departments if each],
            "id": ids.own(),
        }
    ]


def _referrals(resource: Json, ids: Ids) -> Rows | str:
    if _REFERRAL not in codes(resource.get("category")):
        return f"without the category {_REFERRAL} (patient referral) of SNOMED CT"
    return _orders(resource, ids)


def _whole_date(value: Any) -> str | None:
    """A date of FHIR; a year or a month alone is no date that two people can be compared by."""
    text = string(value)
    return text if text and len(text) > 7 else None


_READERS: dict[str, Callable[[Json, Ids], Rows | str]] = {
    "patients": _patients,
    "vips": _vips,
    "encounters": _encounters,
    "care_teams": _care_teams,
    "orders": _orders,
    "referrals": _referrals,
}
"""What makes the rows of a table of one resource, or says why it makes none."""
