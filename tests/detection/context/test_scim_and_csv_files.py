"""SCIM lists of users and CSV files give rows; errors name the file, the place and the column."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from detection.context.files.reading import Reading
from detection.context.tables import TABLES, Format
from domain.errors import ConfigurationError, RejectedError
from tests.detection.context.reading_files import SAMPLES, rows
from tests.scaling import Hostile, assert_linear


def test_users_of_scim_are_staff() -> None:
    found, left_out = rows("staff", SAMPLES / "users.json", format="scim")
    assert found == [
        {
            "id": "bjensen@example.com",
            "other_ids": ("2819c223-7f76-453a-919d-413861904646", "701984"),
            "name": "Babs Jensen",
            "family_name": "jensen",
            "departments": ("Tour Operations",),
            "roles": ("nurse",),
            "address": "456 hollywood blvd 91608 hollywood",
            "active": True,
            "supervisor": "26118915-6090-4610-87e4-49d8ca9f808d",
        },
        {"id": "jsmith", "other_ids": ("26118915-6090-4610-87e4-49d8ca9f808d",), "active": False},
    ]
    assert left_out == {}


def _users(tmp_path: Path, **changes: Any) -> Path:
    page = json.loads((SAMPLES / "users.json").read_text()) | changes
    file = tmp_path / f"users-{len(list(tmp_path.iterdir()))}.json"
    file.write_text(json.dumps(page), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("emails", "email"),
    [
        (
            [{"value": "a@work", "type": "work"}, {"value": "a@home", "type": "home", "primary": True}],
            "a@work",
        ),
        ([{"value": "b@work", "type": "work"}, {"value": "a@work", "primary": True}], "a@work"),
        ([{"value": "a@home", "type": "home"}], None),
        ([{"type": "work"}, 7], None),
        ("a@work", None),
    ],
)
def test_the_address_of_a_user_is_that_at_work(tmp_path: Path, emails: Any, email: str | None) -> None:
    users = _users(tmp_path, totalResults=1, Resources=[{"userName": "a", "emails": emails}])
    [found], _ = rows("staff", users, format="scim")
    assert found.get("email") == email


def test_a_missing_page_of_users_is_an_error(tmp_path: Path) -> None:
    first = _users(tmp_path, totalResults=3)
    with pytest.raises(RejectedError, match="the files have 2 of 3 users: give all pages"):
        rows("staff", first, format="scim")
    last = _users(tmp_path, totalResults=3, startIndex=3, Resources=[{"userName": "third"}])
    assert len(rows("staff", first, last, format="scim")[0]) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schemas": []}, "schemas: write urn:ietf:params:scim:api:messages:2.0:ListResponse"),
        ({"Resources": [{"id": "1"}]}, r"Resources\[0\], id: a value is required"),
        (
            {"Resources": [{"userName": "a", "active": "maybe"}]},
            r"Resources\[0\], active: write true or false",
        ),
        ({"Resources": [5]}, r"Resources\[0\]: write an object"),
        ({"Resources": 5}, "this is no ListResponse of SCIM"),
    ],
)
def test_an_error_in_scim_names_the_user(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        rows("staff", _users(tmp_path, totalResults=0, **changes), format="scim")


def test_staff_in_json_needs_the_name_of_its_format() -> None:
    with pytest.raises(ConfigurationError, match="--format: write csv or fhir or scim"):
        Reading(table=TABLES["staff"]).chosen([SAMPLES / "users.json"])
    assert Reading(table=TABLES["staff"]).chosen([Path("a.NDJSON")]) is Format.FHIR


def _csv(tmp_path: Path, content: str | bytes, name: str = "file.csv") -> Path:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_csv_as_spreadsheets_write_it(tmp_path: Path, delimiter: str, ending: str, bom: str) -> None:
    lines = [
        ["id", "name", "departments", "birth_date", "active", "active_until", "address"],
        [
            "ada",
            '"Lovelace, Ada"',
            '"icu; cardiology"',
            "1815-12-10",
            "no",
            "2026-03-01",
            '"Ringstraße 5\n1010 WIEN"',
        ],
        ["bob", "", "", "", "", "2026-03-01T08:00", ""],
    ]
    text = bom + ending.join(delimiter.join(cells) for cells in lines) + ending
    found, _ = rows("staff", _csv(tmp_path, text), zone="Europe/Vienna")
    assert found == [
        {
            "id": "ada",
            "name": "Lovelace, Ada",
            "departments": ("cardiology", "icu"),
            "birth_date": date(1815, 12, 10),
            "active": False,
            "active_until": datetime(2026, 3, 1, 22, 59, 59, 999_999, tzinfo=UTC),
            "address": "ringstrasse 5 1010 wien",
        },
        {"id": "bob", "active": True, "active_until": datetime(2026, 3, 1, 7, tzinfo=UTC)},
    ]


@pytest.mark.parametrize(
    ("table", "content", "message"),
    [
        ("staff", "", "it is empty: write a header"),
        ("staff", "id,shoe_size\na,4\n", "line 1, shoe_size: the table staff has no column of this name"),
        ("staff", "name\nAda\n", "line 1, id: the header needs this column"),
        ("staff", "id,id\na,b\n", "line 1, id: this column stands there twice"),
        ("staff", "id,name\na\n", "line 2: it has 1 cells, and the header has 2"),
        ("staff", "id,name\n,Ada\n", "line 2, id: a value is required"),
        (
            "staff",
            'id,name\na,"x\ny"\nb,c\n,d\n',
            "line 3, name: write printable|line 2, name: write printable",
        ),
        ("staff", "id,birth_date\n\na,31.12.1980\n", "line 3, birth_date: write a date such as"),
        ("staff", b"id\n\xff\n", "line 2: write UTF-8"),
        ("staff", 'id\n"a" b\n', "line 2: this is no CSV"),
        ("staff", "id\n" + "x" * 200_000, "line 2: this is no CSV: field larger than"),
        ("staff", "id\n" + "x," * 600_000, "line 2: a line has at most 1048576 bytes"),
        ("staff", "id,active\na,maybe\n", "line 2, active: write true or false"),
        (
            "rosters",
            "staff,starts_at,ends_at\na,2026-03-02,2026-03-01\n",
            "line 2, ends_at: write a time after",
        ),
        (
            "rosters",
            "staff,starts_at,ends_at\na,noon,2026-03-01\n",
            "line 2, starts_at: write a time such as",
        ),
        ("billing", "staff,department\n,\n", "line 2, staff or department: one of these needs a value"),
        (
            "service_accounts",
            "id,networks\na,10.0.0.0/33\n",
            "line 2, networks: write an address or a network",
        ),
    ],
)
def test_an_error_in_csv_names_line_and_column(
    tmp_path: Path, table: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(RejectedError, match=message) as caught:
        rows(table, _csv(tmp_path, content))
    assert "file.csv" in str(caught.value)


def test_addresses_and_networks(tmp_path: Path) -> None:
    found, _ = rows(
        "service_accounts", _csv(tmp_path, "id,networks\nlab,10.0.0.0/8;192.0.2.1;2001:db8::/32\n")
    )
    assert found[0]["networks"] == ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")


def test_reading_takes_time_in_proportion_to_the_file(tmp_path: Path) -> None:
    def file(size: int) -> Path:
        return _csv(
            tmp_path, "id,address\n" + "".join(f"{n},{'a' * 100}\n" for n in range(size)), f"{size}.csv"
        )

    def quotes(size: int) -> Path:
        return _csv(tmp_path, "id\n" + '"' * size, f"quotes-{size}.csv")

    def refused(path: Path) -> None:
        with pytest.raises(RejectedError):
            rows("staff", path)

    assert_linear(Hostile("rows", lambda path: rows("staff", path), file, 2000))
    assert_linear(Hostile("an open quote", refused, quotes, 20_001))
