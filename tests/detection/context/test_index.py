"""The index finds what a search through all rows would find, by any id of a person or patient."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.context.index import ContextIndex
from detection.context.rows import row_decoder
from detection.context.tables import TABLES
from domain.errors import RejectedError

HOSPITAL: dict[str, list[dict[str, Any]]] = {
    "staff": [
        {"id": "ada", "other_ids": ["Practitioner/5", "PractitionerRole/r-5"], "departments": ["icu"]},
        {"id": "bob", "supervisor": "Practitioner/5"},
    ],
    "patients": [
        {"id": "17", "other_ids": ["urn:oid:1|17"], "family_name": "Müller"},
        {"id": "18", "family_name": "MULLER"},
        {"id": "19"},
    ],
    "encounters": [
        {"id": "e-1", "patient": "17", "starts_at": "2026-03-01", "practitioners": ["Practitioner/5"]},
        {"id": "e-2", "patient": "urn:oid:1|17", "starts_at": "2026-03-02", "practitioners": ["bob", "eve"]},
        {"id": "e-3", "patient": "18", "starts_at": "2026-03-03"},
    ],
    "billing": [{"department": "accounts"}, {"staff": "PractitionerRole/r-5"}],
}


@pytest.fixture(scope="module")
def index() -> ContextIndex:
    return ContextIndex.of(HOSPITAL)


def _ids(rows: tuple[Any, ...]) -> list[str]:
    return [row.id for row in rows]


def test_rows_are_found_by_any_id(index: ContextIndex) -> None:
    for id in ("ada", "Practitioner/5", "PractitionerRole/r-5"):
        assert _ids(index.rows("staff", id=id)) == ["ada"]
        assert index.ids("staff", id) == {"ada", "Practitioner/5", "PractitionerRole/r-5"}
        assert len(index.rows("billing", staff=id)) == 1
    for id in ("17", "urn:oid:1|17"):
        assert _ids(index.rows("encounters", patient=id)) == ["e-1", "e-2"]
    assert index.ids("patients", "nobody") == {"nobody"}
    assert index.rows("staff", id="ADA") == ()


def test_several_columns_must_match(index: ContextIndex) -> None:
    assert _ids(index.rows("encounters", patient="17", practitioners="ada")) == ["e-1"]
    assert _ids(index.rows("encounters", practitioners="eve", patient="17")) == ["e-2"]
    assert _ids(index.rows("encounters", patient="18", practitioners="ada")) == []
    assert _ids(index.rows("staff", id="bob", supervisor="ada")) == ["bob"]


def test_names_are_counted_as_they_are_compared(index: ContextIndex) -> None:
    assert index.count("patients", family_name="müller") == 2
    assert index.count("patients", family_name="Maier") == 0


def test_a_table_that_is_missing_differs_from_an_empty_one() -> None:
    index = ContextIndex.of({"vips": []})
    assert (index.has("vips"), index.size("vips"), index.rows("vips", patient="17")) == (True, 0, ())
    assert (index.has("staff"), index.size("staff"), index.rows("staff", id="ada")) == (False, 0, ())


def test_a_search_needs_a_key(index: ContextIndex) -> None:
    with pytest.raises(ValueError, match="encounters is searched by patient, not by practitioners"):
        index.rows("encounters", practitioners="ada")
    with pytest.raises(KeyError):
        index.rows("encounters", patient="17", doctor="ada")


def test_values_that_a_table_cannot_have_are_refused() -> None:
    with pytest.raises(RejectedError, match="shoe: staff has no such column"):
        ContextIndex.of({"staff": [{"id": "ada", "shoe": "4"}]})


def test_rows_that_were_stored_before_a_column_existed_have_its_default() -> None:
    row = row_decoder("staff")(b'["ada",["x"],"Ada"]')
    assert (row.id, row.other_ids, row.address, row.active) == ("ada", ("x",), None, True)


def test_every_key_and_period_is_a_column() -> None:
    for table in TABLES.values():
        for name in (*table.keys, *table.unique, *table.one_of, *(table.period or ())):
            assert table.column(name).name == name


NAMES = st.sampled_from([f"{n}" for n in range(6)])
ROWS = st.lists(st.fixed_dictionaries({"patient": NAMES, "staff": NAMES}), max_size=30)


@given(ROWS, NAMES, NAMES)
def test_it_finds_what_a_search_through_all_rows_finds(
    rows: list[dict[str, str]], patient: str, staff: str
) -> None:
    index = ContextIndex.of({"care_teams": rows})
    all_rows = {(row["patient"], row["staff"]) for row in rows}
    for keys in ({"patient": patient}, {"staff": staff}, {"patient": patient, "staff": staff}):
        found = [(row.patient, row.staff) for row in index.rows("care_teams", **keys)]
        assert found == sorted(
            row
            for row in all_rows
            if keys.get("patient", row[0]) == row[0] and keys.get("staff", row[1]) == row[1]
        )


def test_a_row_takes_a_tenth_of_its_objects() -> None:
    index = ContextIndex.of(
        {
            "encounters": [
                {
                    "id": f"e-{n:07}",
                    "patient": f"p-{n // 3:07}",
                    "starts_at": "2026-03-01T08:00:00Z",
                    "ends_at": "2026-03-01T09:00:00Z",
                    "department": "cardiology",
                    "practitioners": [f"ada-{n % 100}", f"bob-{n % 99}"],
                }
                for n in range(3000)
            ]
        }
    )
    assert index.bytes / index.size("encounters") < 150
