"""Exports: the same events as the API's, in every format, whatever is in them."""

from __future__ import annotations

import csv
import io
import itertools
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.errors import ConfigurationError, RejectedError
from domain.event import RecordedEvent
from event_store.database import READER, Database
from projections.registry import built_in
from queries.export.columns import EVENT_COLUMNS
from queries.export.pipeline import Exports, Snapshot
from queries.export.request import ExportRequest, Format
from queries.export.stream import stream
from queries.export.text import guarded, restored
from queries.filters.event_filter import EventFilter, PageRequest
from tests.scaling import Hostile, assert_linear
from tests.trail import START, Trail, an_event

HOSTILE = [
    "line one\nline two\r\nline three\rfour",
    'she said "no", twice',
    "=cmd|'/C calc'!A0",
    "+1", "-1", "@SUM(A1)", "\tx", "'quoted", "=1+1;=2", "\uff1d1+1",
    "note;=cmd|' /C calc'!A0", " =1", "\u200b=1", "a; \ufeff\u00a0@x", 'a;"=1', "a\t+1", "a\n-1", "a;'b",
    "x|\uff1d1", "\t=1",
    "👩‍⚕️ Łódź", "a\u2028b\u2029c\u0085d", "a,b;c\td", "", " ", "NULL", "\ufeffbom", "\x1b[31m",
]  # fmt: skip


@pytest.fixture
def exports(projected_url: str) -> Iterator[Exports]:
    with closing(Database(projected_url, READER, size=2)) as database:
        yield Exports(database)


@pytest.fixture
def clinic(trail: Trail) -> Trail:
    """Some of everything, with an aggregate's worth of variety."""
    trail.given(
        *(
            an_event(
                minute=minute,
                actor={"id": f"u{minute % 3}", "name": "U"},
                patients=[{"id": "17"}, {"id": str(minute % 5)}],
                resources=[
                    {"type": "Observation", "id": str(minute % 4)},
                    {"type": "Observation", "id": "x"},
                ],
                session=f"s{minute % 2}",
                client={"address": f"10.0.0.{minute % 2}"},
                purpose_of_use=["TREAT"] if minute % 2 else ["ETREAT", "HRESCH"],
                emergency=minute % 7 == 0,
                correlation_id=f"c{minute % 6}",
                outcome="minor_failure" if minute % 11 == 0 else "success",
            )
            for minute in range(60)
        ),
        an_event("user.login_failed", 61, outcome="serious_failure", session="s1"),
        an_event(
            "device.connected", 62, device={"id": "pump"}, actor={"kind": "device", "id": "pump"}, action="U"
        ),
        an_event(
            "configuration.changed", 63, device={"id": "pump"}, changes=[{"path": "p", "after": 10**30}]
        ),
        an_event(
            "service.started", 64, source={"service": "vitals"}, actor={"kind": "service", "id": "vitals"}
        ),
    )
    return trail


def whole(exports: Exports, request: ExportRequest) -> bytes:
    with exports.open(request) as opened:
        return b"".join(stream(opened))


def events_of(exports: Exports, **filter: Any) -> list[RecordedEvent]:
    data = whole(exports, ExportRequest(format=Format.NDJSON, filter=EventFilter(**filter)))
    return [msgspec.json.decode(line, type=RecordedEvent) for line in data.split(b"\n") if line]


def table_of(exports: Exports, **request: Any) -> pa.Table:
    data = whole(exports, ExportRequest(format=Format.PARQUET, **request))
    return pq.read_table(io.BytesIO(data))


FILTERS: list[dict[str, Any]] = [
    {},
    {"actor": "u1"},
    {"patient": "3"},
    {"user": "u2"},
    {"device": "pump"},
    {"service": "vitals"},
    {"resource_type": "Observation"},
    {"resource_type": "Observation", "resource_id": "2"},
    {"unnamed_resource_type": "Observation"},
    {"actor_kinds": ("service", "device")},
    {"day_time_from": "22:00", "day_time_until": "08:30"},
    {"weekdays": ("tuesday",), "time_zone": "Pacific/Auckland"},
    {"types": ("record.read", "service.started")},
    {"categories": ("device", "user")},
    {"actions": ("U", "E")},
    {"outcomes": ("minor_failure", "serious_failure")},
    {"outcomes": ("success",)},
    {"purposes": ("HRESCH",)},
    {"source": "patient-service"},
    {"correlation_id": "c5"},
    {"session": "s1"},
    {"address": "10.0.0.1"},
    {"emergency": True},
    {"emergency": False},
    {"occurred_from": START + timedelta(minutes=30)},
    {"occurred_until": START + timedelta(minutes=30)},
    {"patient": "17", "user": "u1", "emergency": False, "purposes": ("TREAT",)},
    {"actor": "nobody"},
    {"types": ("record.read",), "categories": ("user",)},
    {"actor_in": ("u1", "u2")},
    {"patient_in": ("3", "17"), "user_in": ("u1", "u2")},
    {"device_in": ("pump", "other"), "service_in": ("vitals", "patient-service")},
    {"correlation_id_in": ("c5", "c6"), "session_in": ("s1", "s2")},
    {"address_in": ("10.0.0.1", "10.0.0.2"), "address_prefix": "10."},
    {"type_prefix": "record.", "actor_prefix": "u"},
    {"position_from": 10, "position_until": 40},
    {"or_": (EventFilter(patient="3"), EventFilter(actor="u1")), "not_": EventFilter(emergency=True)},
    {"and_": (EventFilter(types=("record.read",)), EventFilter(not_=EventFilter(actor="u1")))},
]


def test_every_filter_gives_the_events_of_the_api_oldest_first(clinic: Trail, exports: Exports) -> None:
    assert {name for filter in FILTERS for name in filter} == set(EventFilter.__struct_fields__)
    for filter in FILTERS:
        page = clinic.events(EventFilter(**filter), PageRequest(first=1000))
        assert events_of(exports, **filter) == page.events[::-1], filter


def test_more_events_than_one_look_takes_come_once_and_in_order(
    clinic: Trail, exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queries.export.event_rows.BATCH_POSITIONS", 7)
    monkeypatch.setattr("queries.export.event_rows.BATCH_BYTES", 1500)
    for filter in FILTERS:
        page = clinic.events(EventFilter(**filter), PageRequest(first=1000))
        assert [event.position for event in events_of(exports, **filter)] == [
            event.position for event in page.events[::-1]
        ], filter


def test_an_export_is_complete_up_to_the_position_that_it_names(clinic: Trail, exports: Exports) -> None:
    clinic.append(an_event(minute=90))
    with exports.open(ExportRequest(format=Format.NDJSON)) as opened:
        clinic.given(an_event(minute=91))
        lines = b"".join(stream(opened)).splitlines()
    assert (opened.snapshot.log_size, opened.snapshot.as_of_position, len(lines)) == (65, 63, 64)


def test_hostile_text_comes_back_from_every_format(trail: Trail, exports: Exports, tmp_path: Path) -> None:
    trail.given(*(an_event(reason=text, attributes={"a": text, "big": 10**30}) for text in HOSTILE))
    assert [event.event.reason for event in events_of(exports)] == HOSTILE
    data = whole(exports, ExportRequest(format=Format.CSV))
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
    assert header == [column.name for column in EVENT_COLUMNS]
    reasons = [row[header.index("reason")] for row in rows]
    assert [restored(text) for text in reasons] == HOSTILE
    assert not any(begins_a_formula(text) for row in rows for text in row)
    assert data.count(b'\r\n"') == 0
    table = table_of(exports)
    assert table["reason"].to_pylist() == HOSTILE
    assert [msgspec.json.decode(text)["a"] for text in table["attributes"].to_pylist()] == HOSTILE
    assert all(text.endswith(f'"big":{10**30}}}') for text in table["attributes"].to_pylist())
    file = tmp_path / "hostile.csv"
    file.write_bytes(data)
    with duckdb.connect() as connection:
        read = connection.execute(
            f"SELECT reason FROM read_csv('{file}', all_varchar=true, allow_quoted_nulls=false, parallel=false)"
            " ORDER BY position::int"
        )
        assert [row[0] for row in read.fetchall()] == reasons


def begins_a_formula(cell: str) -> bool:
    """Whether a program that drops what can't be seen takes the cell for a formula."""
    visible = (
        letter for letter in unicodedata.normalize("NFKC", cell)
        if letter != '"' and not letter.isspace() and unicodedata.category(letter) not in {"Cf", "Cc"}
    )  # fmt: skip
    return next(visible, "") in set("=+-@")


@pytest.mark.parametrize("separator", [";", "\t", "|", "\r", "\n"])
@pytest.mark.parametrize("quotes", [True, False])
def test_no_cell_is_a_formula_in_a_program_that_splits_elsewhere(
    trail: Trail, exports: Exports, separator: str, quotes: bool
) -> None:
    trail.given(
        *(
            an_event(reason=text, attributes={"a": [text]}, actor={"kind": "user", "id": "x", "roles": [text]})
            for text in HOSTILE
            if text
        )
    )  # fmt: skip
    text = whole(exports, ExportRequest(format=Format.CSV)).decode()
    if separator in "\r\n":
        cells = text.replace("\r", "\n").split("\n")
    else:
        lines = io.StringIO(text, newline="")
        rows = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
        cells = [cell for row in rows for cell in row]
    assert [cell for cell in cells if begins_a_formula(cell)] == []


def test_a_text_of_a_csv_can_always_be_restored() -> None:
    for letters in itertools.product(";'=\t \"a\n", repeat=5):
        text = "".join(letters)
        assert restored(guarded(text)) == text


@pytest.mark.parametrize("piece", [" ", ";", "\t", ";\u200b", "'", '"', ";=", "\n'"])
def test_guarding_takes_time_in_proportion_to_the_text(piece: str) -> None:
    assert_linear(Hostile(piece, guarded, lambda size: piece * size))


def test_parquet_has_types_that_analysts_can_use_at_once(
    clinic: Trail, exports: Exports, tmp_path: Path
) -> None:
    assert clinic.size == 64
    file = tmp_path / "events.parquet"
    file.write_bytes(whole(exports, ExportRequest(format=Format.PARQUET)))
    schema = pq.read_schema(file)
    assert schema.names == [column.name for column in EVENT_COLUMNS]
    assert schema.field("occurred_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("patient_ids").type.value_type == pa.string()
    assert schema.field("emergency").type == pa.bool_()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        [(count, first)] = connection.execute(
            f"SELECT count(*), min(occurred_at) FROM '{file}' WHERE list_contains(patient_ids, '17')"
        ).fetchall()
        assert (count, first.astimezone(UTC)) == (60, START)
        [(after, kind)] = connection.execute(
            f"SELECT changes[1].after, category FROM '{file}' WHERE type = 'configuration.changed'"
        ).fetchall()
        assert (after, kind) == (str(10**30), "service")
        assert connection.execute(f"SELECT DISTINCT r.id FROM '{file}', UNNEST(resources) AS t(r)").fetchall()


def test_an_event_without_anything_optional_and_one_with_all_of_it_are_rows(
    trail: Trail, exports: Exports
) -> None:
    trail.given(
        an_event(occurred_at="0001-01-01T00:00:00+14:00"),
        an_event(
            actor={"kind": "user", "id": "a", "name": "n", "roles": ["r"], "on_behalf_of": "b"},
            source={"service": "s", "site": "t", "instance": "i", "sequence": 7},
            action="D",
            outcome_reason="why",
            client={"address": "1", "user_agent": "2"},
            device={"id": "d", "name": "e", "software_version": "1", "configuration_version": "2"},
            resources=[{"type": "T", "id": "I", "version": "1", "data_category": "lab"}],
            changes=[{"path": "p", "before": None, "after": [1.5, {"k": "v"}]}],
            request={"method": "GET", "path": "/", "status": 200, "duration_ms": 1.5},
            disclosure={"recipient": "r", "recipient_address": "a", "description": "d", "purpose": "p"},
            codes=[{"system": "s", "code": "c", "display": "d"}],
            occurred_at="9999-12-31T23:59:59-14:00",
        ),
    )
    bare, full = table_of(exports).to_pylist()
    assert bare["client_address"] is None
    assert bare["patient_ids"] == bare["changes"] == []
    assert full["changes"] == [{"path": "p", "before": "null", "after": '[1.5,{"k":"v"}]'}]
    assert (full["action"], full["request_status"], full["request_duration_ms"]) == ("D", 200, 1.5)
    assert (bare["source_sequence"], full["source_sequence"]) == (None, 7)
    assert [name for name, value in full.items() if value is None] == ["session", "reason", "correlation_id"]


def tables() -> list[str]:
    return [table.name for projector in built_in() for table in projector.tables]


@pytest.mark.parametrize("name", tables())
def test_every_table_of_a_read_model_has_its_declared_columns_and_all_its_rows(
    clinic: Trail, exports: Exports, name: str
) -> None:
    [(declared, projector)] = [
        (table, projector) for projector in built_in() for table in projector.tables if table.name == name
    ]
    data = whole(exports, ExportRequest(format=Format.NDJSON, table=name))
    lines = [msgspec.json.decode(line) for line in data.splitlines()]
    [(rows,)] = clinic.rows(f"SELECT count(*) FROM {projector.name}_v{projector.version}.{name}")
    assert len(lines) == rows
    assert all(tuple(line) == declared.names for line in lines)
    table = table_of(exports, table=name)
    assert tuple(table.column_names) == declared.names
    assert table.num_rows == rows
    read = list(
        csv.DictReader(io.StringIO(whole(exports, ExportRequest(format=Format.CSV, table=name)).decode()))
    )
    assert len(read) == rows


def test_rows_of_a_table_are_chosen_by_their_columns(clinic: Trail, exports: Exports) -> None:
    assert clinic.size == 64

    def chosen(table: str, *where: tuple[str, str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = table_of(exports, table=table, where=where).to_pylist()
        return rows

    assert {row["patient_id"] for row in chosen("patient_access", ("patient_id", "17"))} == {"17"}
    assert len(chosen("patient_access", ("patient_id", "17"), ("actor_id", "u1"))) == 1
    assert len(chosen("activity", ("emergency", "true"))) == 9
    [change] = chosen("device_configuration", ("position", "62"))
    assert (change["before"], change["after"]) == ("null", str(10**30))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"filter": EventFilter(types=("nothing",))}, "types"),
        ({"filter": EventFilter(patient="\0")}, "patient"),
        ({"filter": EventFilter(occurred_from=datetime(2026, 1, 1))}, "occurred_from"),  # noqa: DTZ001
        ({"table": "event"}, "table"),
        ({"table": "activity; DROP TABLE activity"}, "table"),
        ({"table": ""}, "table"),
        ({"table": "activity", "filter": EventFilter(patient="17")}, "table"),
        ({"where": (("a", "b"),)}, "table"),
        ({"table": "activity", "where": (("nothing", "b"),)}, "where"),
        ({"table": "activity", "where": (("position", "x"),)}, "where"),
        ({"table": "activity", "where": (("position", str(2**63)),)}, "where"),
        ({"table": "activity", "where": (("occurred_at", "2026-01-01"),)}, "where"),
        ({"table": "activity", "where": (("purposes", "TREAT"),)}, "where"),
    ],
)
def test_what_cant_be_asked_is_named(
    clinic: Trail, exports: Exports, request_: dict[str, Any], field: str
) -> None:
    assert clinic.size
    with pytest.raises(RejectedError) as refused:
        whole(exports, ExportRequest(format=Format.CSV, **request_))
    assert refused.value.field == field


def test_an_empty_log_gives_an_empty_export_of_every_format(trail: Trail, exports: Exports) -> None:
    assert events_of(exports) == []
    assert whole(exports, ExportRequest(format=Format.CSV)).count(b"\r\n") == 1
    assert table_of(exports).num_rows == 0
    trail.project()
    assert table_of(exports, table="patient_access").num_rows == 0


def test_without_pyarrow_the_extra_is_named_and_text_is_exported(
    trail: Trail, exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail.given(an_event())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"audit-trail\[export\]"):
        table_of(exports)
    assert len(events_of(exports)) == 1


def test_an_export_of_another_log_is_not_continued(clinic: Trail, exports: Exports) -> None:
    assert clinic.size == 64
    other = Snapshot(log_size=64, root_hash="00" * 32, as_of_position=63)
    with (
        pytest.raises(ConfigurationError, match="not the log"),
        exports.open(ExportRequest(format=Format.CSV), other),
    ):
        pass


def test_a_merged_table_goes_on_only_while_nothing_has_changed(clinic: Trail, exports: Exports) -> None:
    access = ExportRequest(format=Format.CSV, table="patient_access")
    timeline = ExportRequest(format=Format.CSV, table="patient_timeline")
    with exports.open(access) as first, exports.open(timeline) as second:
        saved, appended = first.snapshot, second.snapshot
        rows = b"".join(stream(second))
    with exports.open(access, saved) as opened:
        assert opened.snapshot == saved
    clinic.given(an_event(patients=[{"id": "17"}]))
    with exports.open(access, saved) as opened:
        assert opened.snapshot != saved
    with exports.open(timeline, appended) as opened:
        assert opened.snapshot == appended
        assert b"".join(stream(opened)) == rows
