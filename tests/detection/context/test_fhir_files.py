"""FHIR R4 and R5 files give rows whose ids are those of events, and what makes no row is counted."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConfigurationError, RejectedError
from interop.systems import Systems
from tests.detection.context.reading_files import SAMPLES, rows
from tests.scaling import Hostile, assert_linear

OURS = Systems([("https://fhir.example/r4", "")])


def _at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("telecom", "email"),
    [
        (
            [{"system": "phone", "value": "1"}, {"system": "email", "use": "work", "value": "a@work"}],
            "a@work",
        ),
        ([{"system": "email", "use": "home", "value": "a@home"}, {"system": "email", "value": "a@x"}], "a@x"),
        ([{"system": "email", "use": "home", "value": "a@home"}], None),
        ("a@work", None),
    ],
)
def test_the_address_of_a_practitioner_is_that_at_work(
    tmp_path: Path, telecom: Any, email: str | None
) -> None:
    file = tmp_path / "people.ndjson"
    file.write_text(json.dumps({"resourceType": "Practitioner", "id": "5", "telecom": telecom}) + "\n")
    [found], _ = rows("staff", file, format="fhir", base="https://fhir.example/r4", systems=OURS)
    assert found.get("email") == email


def test_people_get_what_their_roles_say() -> None:
    found, left_out = rows("staff", SAMPLES / "practitioners.json", systems=OURS)
    assert found == [
        {
            "id": "Practitioner/f005",
            "other_ids": ("23", "PractitionerRole/r-1"),
            "name": "Adam Careful",
            "family_name": "careful",
            "departments": ("cardiology", "ward-3"),
            "roles": ("doctor",),
            "address": "534 erewhon st 3999 pleasantville",
            "active": True,
            "active_from": _at(2012, 1, 1),
            "active_until": _at(2031, 3, 31, 23, 59, 59, 999_999),
        },
        {
            "id": "Practitioner/f006",
            "name": "Rob Bor",
            "family_name": "bor",
            "birth_date": date(1975, 12, 7),
            "active": False,
        },
    ]
    assert left_out == {"OperationOutcome": 1}


def test_the_server_of_an_unnamed_system_stands_before_its_ids() -> None:
    found, _ = rows("staff", SAMPLES / "practitioners.json")
    assert found[0]["id"] == "https://fhir.example/r4|Practitioner/f005"
    assert found[0]["other_ids"] == ("23", "https://fhir.example/r4|PractitionerRole/r-1")
    assert found[0]["departments"] == (
        "https://fhir.example/r4|cardiology",
        "https://fhir.example/r4|ward-3",
    )


def test_encounters_of_r4_as_ndjson() -> None:
    found, left_out = rows("encounters", SAMPLES / "encounters_r4.ndjson", zone="Europe/Vienna")
    assert found == [
        {
            "id": "e-1",
            "patient": "17",
            "starts_at": _at(2026, 3, 1, 7),
            "ends_at": _at(2026, 3, 4, 22, 59, 59, 999_999),
            "department": "cardiology",
            "practitioners": ("Practitioner/f005", "PractitionerRole/r-1"),
        },
        {
            "id": "e-4",
            "patient": "urn:oid:1.2.3|99",
            "starts_at": _at(2026, 2, 28, 23),
            "department": "ward-3",
        },
    ]
    assert left_out == {
        "Encounter with the status cancelled": 1,
        "Encounter without a beginning": 1,
        "Observation": 1,
    }


def test_ndjson_belongs_to_the_server_that_the_command_names() -> None:
    found, _ = rows(
        "encounters", SAMPLES / "encounters_r4.ndjson", base="https://b.example/fhir/", format="fhir"
    )
    assert (found[0]["id"], found[0]["patient"]) == (
        "https://b.example/fhir|e-1",
        "https://b.example/fhir|17",
    )
    assert found[1]["patient"] == "urn:oid:1.2.3|99"


def test_encounters_of_r5_with_urns() -> None:
    found, _ = rows("encounters", SAMPLES / "encounters_r5.json")
    assert found == [
        {
            "id": "0d3c6a9a-4f0b-4cf3-9b6b-8d8c1d2c5e01",
            "patient": "0d3c6a9a-4f0b-4cf3-9b6b-8d8c1d2c5e02",
            "starts_at": _at(2026, 3, 1, 8),
            "department": "Cardiology",
            "practitioners": ("https://b.example/fhir|Practitioner/5",),
        }
    ]


def test_conditional_references_name_people_by_their_identifiers(tmp_path: Path) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e-1",
        "status": "finished",
        "subject": {"reference": "urn:uuid:6b5f3c2a-0000-4000-8000-000000000001", "display": "A B"},
        "participant": [
            {"individual": {"reference": "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|9999"}}
        ],
        "period": {"start": "2011-07-28T15:02:18-04:00", "end": "2011-07-28T15:17:18-04:00"},
        "serviceProvider": {
            "reference": "Organization?identifier=https://synthea.example|o-1",
            "display": "PCP",
        },
    }
    [found], _ = rows("encounters", _file(tmp_path, encounter))
    assert (found["patient"], found["practitioners"], found["department"]) == (
        "6b5f3c2a-0000-4000-8000-000000000001",
        ("9999",),
        "o-1",
    )


def test_a_care_team_is_a_row_for_each_practitioner() -> None:
    found, _ = rows("care_teams", SAMPLES / "care_teams.json")
    assert found == [
        {
            "patient": "17",
            "staff": "Practitioner/f005",
            "starts_at": _at(2026, 1, 1),
            "ends_at": _at(2026, 2, 1, 23, 59, 59, 999_999),
        },
        {
            "patient": "17",
            "staff": "PractitionerRole/r-1",
            "starts_at": _at(2026, 1, 15),
            "ends_at": _at(2026, 6, 1, 23, 59, 59, 999_999),
        },
    ]


def test_service_requests_are_orders_and_some_are_referrals() -> None:
    found, left_out = rows("orders", SAMPLES / "service_requests.ndjson")
    assert found[0] == {
        "patient": "17",
        "at": _at(2026, 3, 1, 9, 30),
        "staff": ("Practitioner/f005",),
        "departments": ("laboratory",),
        "id": "s-1",
    }
    assert [row["id"] for row in found] == ["s-1", "s-2"]
    assert left_out == {
        "ServiceRequest with the status entered-in-error": 1,
        "ServiceRequest without anybody who asks for it or carries it out": 1,
    }
    referrals, _ = rows("referrals", SAMPLES / "service_requests.ndjson")
    assert [(row["id"], row["departments"]) for row in referrals] == [("s-2", ("oncology",))]


def test_patients_and_those_people_are_curious_about() -> None:
    found, _ = rows("patients", SAMPLES / "patients.ndjson")
    assert found == [
        {
            "id": "17",
            "other_ids": ("urn:oid:1.2.36.146.595.217.0.1|12345",),
            "family_name": "chalmers",
            "address": "534 erewhon st 3999 pleasantville",
            "birth_date": date(1974, 12, 25),
            "deceased": False,
            "vip": True,
        },
        {
            "id": "18",
            "family_name": "van de heuvel",
            "deceased": True,
            "deceased_at": _at(2026, 2, 14, 3, 42),
            "vip": False,
        },
    ]
    assert rows("vips", SAMPLES / "patients.ndjson") == (
        [{"patient": "17", "why": "CEL"}],
        {"Patient without a label of a VIP": 1},
    )


def _file(folder: Path, content: Any) -> Path:
    file = folder / "file.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "this is neither FHIR in JSON nor NDJSON"),
        ("[]", "this is neither FHIR in JSON nor NDJSON"),
        ('{"resourceType": "Bundle", "entry": 5}', "this is no Bundle of FHIR"),
        (
            {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "x" * 300}}]},
            r"entry\[0\] \(Patient\), id: write 1 to 256 characters",
        ),
        (
            {"resourceType": "Patient", "id": "1", "birthDate": "25.12.1974"},
            r"line 1 \(Patient\), birth_date: write a date",
        ),
        (
            '{"resourceType": "Patient", "id": "1"}\n{"resourceType": "Patient", "id": 1\n',
            "line 2: not JSON",
        ),
        ('{"resourceType": "Patient", "a": ' + "[" * 100 + "]" * 100 + "}", "nested deeper than 64 levels"),
        ('{"resourceType": "Patient", "a": [' + "[]," * 50_000 + "[]]}", "more than 50000 arrays"),
        ('{"resourceType": "Bundle", "entry": [' + '{"a":' * 200_000, "this is neither FHIR"),
        ('{"resourceType": "Bundle", "entry": [' + "{}," * 10_000_000 + "{}]}", "more than 10000000 arrays"),
        ('{"resourceType": "Patient", "id": "1", "x": "' + "x" * (1 << 20) + '"}', "at most 1048576 bytes"),
    ],
    ids=range(11),
)
def test_an_error_names_file_resource_and_column(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(RejectedError, match=message) as caught:
        rows("patients", _file(tmp_path, content))
    assert str(tmp_path) in str(caught.value)


WRONG: list[Any] = [
    None,
    5,
    "x",
    [],
    {},
    [None],
    [[]],
    {"a": {}},
    True,
    [{"reference": 5}],
    {"reference": []},
]


@pytest.mark.parametrize("table", ["staff", "patients", "encounters", "care_teams", "orders", "vips"])
def test_values_of_a_wrong_shape_never_break_the_reader(tmp_path: Path, table: str) -> None:
    """Each element of each sample is replaced by each wrong value: a row, a count, or an error that says where."""
    files = sorted(SAMPLES.glob("*.ndjson"))
    resources = [json.loads(line) for file in files for line in file.read_text().splitlines() if line]
    bundle = json.loads((SAMPLES / "practitioners.json").read_text())
    resources += [entry["resource"] for entry in bundle["entry"]]
    resources.append(json.loads((SAMPLES / "care_teams.json").read_text()))
    for resource in resources:
        for name in resource:
            for value in WRONG:
                file = _file(tmp_path, {**resource, name: value})
                try:
                    rows(table, file, format="fhir")
                except RejectedError as exc:
                    assert str(file) in str(exc)  # noqa: PT017 - both ends are good


def test_a_part_of_an_answer_is_no_table(tmp_path: Path) -> None:
    bundle = json.loads((SAMPLES / "practitioners.json").read_text())
    with pytest.raises(RejectedError, match="2 of 7 resources of the search for Practitioner"):
        rows("staff", _file(tmp_path, bundle | {"total": 7}))
    del bundle["total"]
    bundle["link"].append({"relation": "next", "url": "https://fhir.example/r4?page=2"})
    with pytest.raises(RejectedError, match="the first 2 resources of the search for Practitioner"):
        rows("staff", _file(tmp_path, bundle))


def test_a_role_of_somebody_unknown_is_counted(tmp_path: Path) -> None:
    role = {"resourceType": "PractitionerRole", "id": "1", "practitioner": {"reference": "Practitioner/9"}}
    assert rows("staff", _file(tmp_path, role)) == (
        [],
        {"PractitionerRole of a Practitioner who is in no file": 1},
    )


def test_a_table_is_read_only_from_formats_that_have_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--format: rosters is read from csv, not from fhir"):
        rows("rosters", _file(tmp_path, {}), format="fhir")


def test_reading_takes_time_in_proportion_to_the_file(tmp_path: Path) -> None:
    def bundle(size: int) -> Path:
        entry = '{"resource":{"resourceType":"Patient","id":"1","x":[2.2250738585072011e-308]}}'
        file = tmp_path / f"bundle-{size}.json"
        file.write_text('{"resourceType":"Bundle","entry":[' + ",".join([entry] * size) + "]}")
        return file

    def lines(size: int) -> Path:
        file = tmp_path / f"{size}.ndjson"
        file.write_text('{"resourceType":"Practitioner","id":"1"}\n' * size)
        return file

    assert_linear(Hostile("bundle", lambda file: rows("patients", file), bundle, 500))
    assert_linear(Hostile("lines", lambda file: rows("staff", file), lines, 500))
