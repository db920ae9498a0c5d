"""The staff of FHIR: a Practitioner with all PractitionerRoles that name it, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detection.context.files.fhir_elements import address, email, ends, family_name, name, starts
from detection.context.files.fhir_ids import Ids
from detection.context.files.source import Found, Tally
from detection.context.values import Given
from domain.errors import Reason, RejectedError
from interop.fhir.elements import mapping, objects, words

MAX_STAFF = 500_000
"""Practitioners, and their roles: they stay in memory until all files are read."""


class Staff:
    """People and roles, collected."""

    def __init__(self) -> None:
        self._people: dict[str, tuple[str, dict[str, Given]]] = {}
        self._roles: list[tuple[str, dict[str, Any]]] = []

    def add(self, kind: str, resource: dict[str, Any], ids: Ids, place: str, tally: Tally) -> None:
        """Add a Practitioner or a PractitionerRole."""
        if len(self._people) + len(self._roles) >= MAX_STAFF:
            raise RejectedError(
                Reason.OVERSIZED, f"at most {MAX_STAFF} practitioners and roles together", field=place
            )
        if kind == "Practitioner":
            self._add_person(resource, ids, place, tally)
        else:
            self._add_role(resource, ids, tally)

    def rows(self, tally: Tally) -> Iterator[Found]:
        """A row for each person, with what their roles say."""
        by_id = {id: own for own, (_, given) in self._people.items() for id in (own, *_texts(given))}
        roles: dict[str, list[dict[str, Any]]] = {}
        for person, role in self._roles:
            if person in by_id:
                roles.setdefault(by_id[person], []).append(role)
            else:
                tally.leave_out("PractitionerRole of a Practitioner who is in no file")
        for own, (place, given) in self._people.items():
            yield Found(place, given | _joined(_texts(given), roles.get(own, [])))

    def _add_person(self, resource: dict[str, Any], ids: Ids, place: str, tally: Tally) -> None:
        id = ids.own("Practitioner")
        if not id:
            tally.leave_out("Practitioner without an id")
            return
        active = resource.get("active")
        birth = resource.get("birthDate")
        given: dict[str, Given] = {
            "id": id,
            "other_ids": [each for each in ids.others(qualified=False) if each != id],
            "name": name(resource),
            "family_name": family_name(resource),
            "address": address(resource),
            "birth_date": birth if isinstance(birth, str) and len(birth) > 7 else None,
            "active": active if isinstance(active, bool) else None,
            "email": email(resource),
        }
        if id in self._people and self._people[id][1] != given:
            raise RejectedError(
                Reason.CONFLICT, f"the same id as {self._people[id][0]}", field=f"{place}, id"
            )
        self._people[id] = place, given

    def _add_role(self, resource: dict[str, Any], ids: Ids, tally: Tally) -> None:
        person = ids.person(resource.get("practitioner"))
        if not person:
            tally.leave_out("PractitionerRole without a practitioner")
            return
        references = [
            resource.get("organization"),
            *objects(resource.get("healthcareService")),
            *objects(resource.get("location")),
        ]
        period = mapping(resource.get("period"))
        self._roles.append(
            (
                person,
                {
                    "ids": [id for id in (ids.own("PractitionerRole"),) if id],
                    "departments": [found for each in references if each and (found := ids.department(each))],
                    "roles": words(resource.get("code")),
                    "active": resource.get("active") is not False,
                    "starts": starts(period),
                    "ends": ends(period),
                },
            )
        )


def _joined(other_ids: list[str], roles: list[dict[str, Any]]) -> dict[str, Given]:
    """What roles say of a person. One without an end, or a beginning, leaves that of the person open."""
    active = [role for role in roles if role["active"]]
    begins = [role["starts"] for role in active]
    finishes = [role["ends"] for role in active]
    return {
        "other_ids": [*other_ids, *(id for role in roles for id in role["ids"])],
        "departments": [each for role in active for each in role["departments"]],
        "roles": [each for role in active for each in role["roles"]],
        "active_from": min(begins) if begins and all(begins) else None,
        "active_until": max(finishes) if finishes and all(finishes) else None,
    }


def _texts(given: dict[str, Given]) -> list[str]:
    found = given["other_ids"]
    return list(found) if isinstance(found, list) else []
