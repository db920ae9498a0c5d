"""The addresses of staff come from the newest table, and whoever reads them sees no other context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from detection.context import addresses
from detection.context.addresses import StaffAddresses
from domain.errors import LogInconsistentError
from event_store.database import FORWARDER, Database
from tests.detection.context.staff_table import load_staff

ADA = {"id": "ada", "other_ids": ["Practitioner/5"], "email": "ada@hospital.example"}


@pytest.fixture
def forwarder(migrated_url: str) -> Iterator[Database]:
    with closing(Database(migrated_url, FORWARDER)) as database:
        yield database


def test_a_person_is_found_by_any_id_in_the_newest_table(
    migrated_url: str, forwarder: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "_SECONDS", -1)
    find = StaffAddresses(forwarder)
    assert find("ada") is None
    load_staff(migrated_url, ADA, {"id": "bob"})
    assert [find(id) for id in ("ada", "Practitioner/5", "bob", "eve")] == [ADA["email"]] * 2 + [None] * 2
    load_staff(migrated_url, {"id": "ada"})
    assert find("ada") is None


def test_the_table_is_read_once_a_minute(migrated_url: str, forwarder: Database) -> None:
    find = StaffAddresses(forwarder)
    assert find("ada") is None
    load_staff(migrated_url, ADA)
    assert find("ada") is None


def test_rows_that_were_altered_are_no_addresses(migrated_url: str, forwarder: Database) -> None:
    load_staff(migrated_url, ADA)
    with closing(psycopg2.connect(migrated_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE audit_trail.context_chunk SET content = '\\x00'")
    with pytest.raises(LogInconsistentError):
        StaffAddresses(forwarder)("ada")


def test_the_forwarder_reads_no_other_context(migrated_url: str) -> None:
    with closing(psycopg2.connect(migrated_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE audit_trail_forwarder")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT FROM audit_trail.context_chunk")
