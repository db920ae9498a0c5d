"""The context tables, declared once: their columns, and what a row must satisfy.

Stored rows are JSON arrays in the order of the columns. So a new column goes to the end of its table, and is optional.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct


class Kind(StrEnum):
    """The values of a column. `domain` of each: what a row has."""

    TEXT = "text"
    """A text, compared exactly: ids, departments, roles. `str`, or None."""
    TEXTS = "list"
    """Several such texts, sorted, each once. `tuple[str, ...]`."""
    FOLDED = "folded text"
    """A name or an address as `folded` writes it: without case, accents and punctuation. `str`, or None."""
    DATE = "date"
    """`date`, or None."""
    TIME = "time"
    """`datetime` in UTC, or None."""
    FLAG = "flag"
    """`bool`."""
    NETWORKS = "networks"
    """Addresses and networks (CIDR), as texts. `tuple[str, ...]`."""


class Column(Struct, frozen=True, kw_only=True):
    """One column. `names`: its values are ids of that table. `default`: of a flag."""

    name: str
    kind: Kind
    help: str
    required: bool = False
    names: Literal["staff", "patients"] | None = None
    default: bool = False


class Format(StrEnum):
    """A format of files."""

    CSV = "csv"
    FHIR = "fhir"
    SCIM = "scim"


class Table(Struct, frozen=True, kw_only=True):
    """One table.

    `unique`: the ids of a row. No two rows have the same first one; others that several rows have are left out.
    `keys`: the columns that rows are found by. `counted`: the column whose values the index counts. `one_of`: one of
    these columns needs a value. `period`: the second of these times is not before the first. `fhir`: the resources
    that fill it.
    """

    name: str
    help: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    unique: tuple[str, ...] = ()
    counted: str | None = None
    one_of: tuple[str, ...] = ()
    period: tuple[str, str] | None = None
    fhir: tuple[str, ...] = ()
    scim: bool = False

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats that it can be read from."""
        others = ((Format.FHIR, bool(self.fhir)), (Format.SCIM, self.scim))
        return (Format.CSV, *(format for format, reads in others if reads))

    def column(self, name: str) -> Column:
        """The column with this name. Raises `KeyError`."""
        found = next((column for column in self.columns if column.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


def _required(name: str, kind: Kind, help: str, names: Literal["staff", "patients"] | None = None) -> Column:
    return Column(name=name, kind=kind, help=help, required=True, names=names)


def _optional(name: str, kind: Kind, help: str, names: Literal["staff", "patients"] | None = None) -> Column:
    return Column(name=name, kind=kind, help=help, names=names)


_STARTS = "From when on; empty: always."
_ENDS = "Until when; empty: still."
_PATIENT = "The patient's id, as events name it."
_STAFF = "The person's id, as events name it."

_TABLES = (
    Table(
        name="staff",
        help="The people who use the systems.",
        columns=(
            _required("id", Kind.TEXT, _STAFF),
            _optional(
                "other_ids",
                Kind.TEXTS,
                "Other ids of the same person, with which events or other tables name them.",
            ),
            _optional("name", Kind.TEXT, "The name, to show."),
            _optional("family_name", Kind.FOLDED, "The family name."),
            _optional("departments", Kind.TEXTS, "The departments that the person works for."),
            _optional("roles", Kind.TEXTS, "What the person does there."),
            _optional("address", Kind.FOLDED, "Where the person lives."),
            _optional("birth_date", Kind.DATE, "The date of birth."),
            _optional("patient_id", Kind.TEXT, "The person's own record as a patient.", "patients"),
            Column(
                name="active", kind=Kind.FLAG, help="Whether the person works here at the load.", default=True
            ),
            _optional("active_from", Kind.TIME, "The first moment of work."),
            _optional("active_until", Kind.TIME, "The last moment of work."),
            _optional("supervisor", Kind.TEXT, "The person in charge of this one.", "staff"),
            _optional("email", Kind.TEXT, "The mail address at work, for notices to the person."),
        ),
        keys=("id", "other_ids", "patient_id"),
        unique=("id", "other_ids"),
        period=("active_from", "active_until"),
        fhir=("Practitioner", "PractitionerRole"),
        scim=True,
    ),
    Table(
        name="patients",
        help="The patients.",
        columns=(
            _required("id", Kind.TEXT, _PATIENT),
            _optional("other_ids", Kind.TEXTS, "Other ids of the same patient, such as `urn:oid:1.2.3|17`."),
            _optional("family_name", Kind.FOLDED, "The family name."),
            _optional("address", Kind.FOLDED, "Where the patient lives."),
            _optional("birth_date", Kind.DATE, "The date of birth."),
            _optional("department", Kind.TEXT, "The department where the patient is."),
            _optional("deceased", Kind.FLAG, "Whether the patient has died."),
            _optional("deceased_at", Kind.TIME, "When the patient died."),
            _optional("discharged_at", Kind.TIME, "When the patient was last discharged."),
            _optional("vip", Kind.FLAG, "Whether people are likely to be curious about the patient."),
        ),
        keys=("id", "other_ids"),
        unique=("id", "other_ids"),
        counted="family_name",
        fhir=("Patient",),
    ),
    Table(
        name="encounters",
        help="Visits and stays, with those who take part.",
        columns=(
            _required("id", Kind.TEXT, "The encounter's id."),
            _required("patient", Kind.TEXT, _PATIENT, "patients"),
            _required("starts_at", Kind.TIME, "When it begins."),
            _optional("ends_at", Kind.TIME, "When it ends; empty: it goes on."),
            _optional("department", Kind.TEXT, "The department that is responsible."),
            _optional("practitioners", Kind.TEXTS, "The people who take part.", "staff"),
        ),
        keys=("patient",),
        unique=("id",),
        period=("starts_at", "ends_at"),
        fhir=("Encounter",),
    ),
    Table(
        name="care_teams",
        help="Who cares for which patient.",
        columns=(
            _required("patient", Kind.TEXT, _PATIENT, "patients"),
            _required("staff", Kind.TEXT, _STAFF, "staff"),
            _optional("starts_at", Kind.TIME, _STARTS),
            _optional("ends_at", Kind.TIME, _ENDS),
        ),
        keys=("patient", "staff"),
        period=("starts_at", "ends_at"),
        fhir=("CareTeam",),
    ),
    Table(
        name="orders",
        help="Examinations, treatments and other orders, with those who ask for and those who carry them out.",
        columns=(
            _required("patient", Kind.TEXT, _PATIENT, "patients"),
            _required("at", Kind.TIME, "When it was ordered."),
            _optional("staff", Kind.TEXTS, "Who ordered it, and who carries it out.", "staff"),
            _optional("departments", Kind.TEXTS, "The departments that carry it out."),
            _optional("id", Kind.TEXT, "The order's id."),
        ),
        keys=("patient",),
        one_of=("staff", "departments"),
        fhir=("ServiceRequest",),
    ),
    Table(
        name="referrals",
        help="Patients who are sent to somebody else.",
        columns=(
            _required("patient", Kind.TEXT, _PATIENT, "patients"),
            _required("at", Kind.TIME, "When the patient was referred."),
            _optional("staff", Kind.TEXTS, "Who referred the patient, and to whom.", "staff"),
            _optional("departments", Kind.TEXTS, "The departments that the patient is referred to."),
            _optional("id", Kind.TEXT, "The referral's id."),
        ),
        keys=("patient",),
        one_of=("staff", "departments"),
        fhir=("ServiceRequest",),
    ),
    Table(
        name="billing",
        help="Who may see records for the accounts.",
        columns=(
            _optional("staff", Kind.TEXT, _STAFF, "staff"),
            _optional("department", Kind.TEXT, "Or everybody of this department."),
            _optional("starts_at", Kind.TIME, _STARTS),
            _optional("ends_at", Kind.TIME, _ENDS),
        ),
        keys=("staff", "department"),
        one_of=("staff", "department"),
        period=("starts_at", "ends_at"),
    ),
    Table(
        name="service_accounts",
        help="Accounts of programs, which no person uses.",
        columns=(
            _required("id", Kind.TEXT, "The account's id, as events name it."),
            _optional("owner", Kind.TEXT, "Who is responsible for it.", "staff"),
            _optional("networks", Kind.NETWORKS, "Where it works from: addresses and networks."),
            _optional("purpose", Kind.TEXT, "What it is for."),
        ),
        keys=("id",),
        unique=("id",),
    ),
    Table(
        name="rosters",
        help="Who works when.",
        columns=(
            _required("staff", Kind.TEXT, _STAFF, "staff"),
            _required("starts_at", Kind.TIME, "When the shift begins."),
            _required("ends_at", Kind.TIME, "When the shift ends."),
            _optional("department", Kind.TEXT, "For which department."),
            _optional("on_call", Kind.FLAG, "Whether the person is on call."),
        ),
        keys=("staff", "department"),
        period=("starts_at", "ends_at"),
    ),
    Table(
        name="vips",
        help="Patients about whom people are likely to be curious.",
        columns=(
            _required("patient", Kind.TEXT, _PATIENT, "patients"),
            _optional("why", Kind.TEXT, "Why the patient is listed, in a word."),
        ),
        keys=("patient",),
        unique=("patient",),
        fhir=("Patient",),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _TABLES}
"""The tables by name."""
