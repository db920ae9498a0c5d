"""The tables of the access page, generated from those of `domain.access.grants`."""

from __future__ import annotations

from pathlib import Path

from audit_trail.docs.tables import table
from domain.access.grants import HIDDEN, OPERATIONS, Operation, Part
from domain.access.principal import Role
from queries.filters.conditions import CONDITIONS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "access.md"

_ROLES: dict[Role, tuple[str, str]] = {
    Role.AUDITOR: ("Reviews everything that happened.", "all"),
    Role.PRIVACY_OFFICER: ("Answers patients, and decides what they see of staff.", "all"),
    Role.SECURITY_OFFICER: ("Looks for misuse and attacks.", "all"),
    Role.REVIEWER: (
        "Reviews alerts, and decides cases of others.",
        "all but `alert.raised` and `employee.asked`: alerts and cases are read as such; a program: all",
    ),
    Role.ANALYST: ("Counts, compares, builds projections.", "all"),
    Role.SERVICE_OWNER: (
        "Answers for a service that reports.",
        "those that the services of the claim `sources` report, but no `alert.raised` of the trail",
    ),
    Role.CLINICIAN: (
        "Sees what is on record of themselves.",
        "those in which they are the actor, a person with one of the subject's ids",
    ),
    Role.PATIENT: (
        "Sees who looked at their record, when and why.",
        "those about the records of the claim `patient`",
    ),
    Role.DEVICE_MANAGER: (
        "Keeps devices and services running.",
        (
            "those of devices, and those of services (no `api.called`); for the devices of the claim `devices` "
            "also what they do by themselves and events of unknown types, both without `values` and `free_text`"
        ),
    ),
    Role.PUBLISHER: (
        "A system that reports events, as the services of the claim `sources` or as any.",
        "none",
    ),
    Role.OPERATOR: ("Keeps the trail itself running.", "none"),
    Role.ADMIN: ("Everything. For a few, and for emergencies.", "all"),
}
_PARTS: dict[Part, tuple[str, str]] = {
    Part.PATIENT_NAMES: (
        (
            "`patients[].name`, and the actor's name when a patient acted; patients whose id is a name; the query: "
            "that of `request.path`, or all of the path when it contains a name, and in `attributes` `query`, names of "
            "`agents`, and names in the `questions` and `scope` of an access record; resources whose id is a name, "
            "and those of type `AuditLog` longer than `/v1/events`"
        ),
        "ids that are names, `actor_prefix`",
    ),
    Part.OTHER_PATIENTS: (
        (
            "patients that are not one's own, also as actors and among the resources; in an event about several "
            "patients: resources, changes, device, codes, disclosure; resources of type `AuditLog` as above"
        ),
        "`patient` that is not one's own, counts of different patients",
    ),
    Part.STAFF_NAMES: (
        (
            "`actor.name`, an actor's id that is a name, and `device.name`; the query and resources as with "
            "`patient_names`"
        ),
        "ids that are names, `actor_prefix`",
    ),
    Part.STAFF_IDS: (
        (
            "`actor.id`, `actor.on_behalf_of`, `session`, `correlation_id`, `source.instance`, and resources that are "
            "persons, or of type `AuditLog` as above; the actor's roles are shown, and all of it to a patient who acted"
        ),
        "counts by actor and of different actors",
    ),
    Part.CLIENT: ("`client`, `request`, and the address of `agents` in `attributes`", ""),
    Part.FREE_TEXT: (
        "`reason`, `outcome_reason`, `codes[].display`, `request.path`, and `attributes` but for `department`",
        "names as `session`, `correlation_id` or `resource_id`",
    ),
    Part.VALUES: ("`changes[].before` and `after`; the path is shown", ""),
    Part.DISCLOSURE: ("`disclosure`", ""),
}


def access_page() -> str:
    """The page with generated tables; its text is written by hand."""
    roles = [(f"`{role}`", *_ROLES[role], _parts(HIDDEN.get(role, frozenset()))) for role in Role]
    marks = [
        (f"`{operation}`", *("x" if operation in OPERATIONS[role] else "" for role in Role))
        for operation in Operation
    ]
    parts = [(f"`{part}`", _PARTS[part][0], _conditions(part, _PARTS[part][1])) for part in Part]
    tables = {
        "roles": table(("Role", "For whom", "Events", "Hidden in them"), roles),
        "operations": table(("Operation", *(role.value.replace("_", " ") for role in Role)), marks),
        "parts": table(("Part", "Left out", "Excluded filter conditions"), parts),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, made in tables.items():
        head, tail = f"<!-- {name}: made from the program -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(head)
        _, _, after = rest.partition(tail)
        text = f"{before}{head}\n\n{made}\n{tail}{after}"
    return text


def _conditions(part: Part, others: str) -> str:
    """The conditions that reveal a part, and the other ways to ask about it."""
    names = [f"`{condition.name}`" for condition in CONDITIONS if part in condition.attribute.parts]
    return ", ".join([*names, *filter(None, (others,))])


def _parts(hidden: frozenset[Part]) -> str:
    return ", ".join(f"`{part}`" for part in Part if part in hidden)
