"""What the database refuses to store: a dead letter, with less of the message if need be, or the end of ingest."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError, Reason
from ingest.settings import IngestSettings
from tests.ingest.large_messages import EVENTS, LETTERS, Call, Query
from tests.ingest.refusing_trigger import refuse


@pytest.mark.parametrize("code", ["54000", "22021"])
def test_a_message_that_the_database_refuses_is_a_dead_letter_and_its_neighbours_are_events(
    code: str,
    settings: IngestSettings,
    migrated_url: str,
    publish: Call,
    running: Call,
    query: Query,
    message: Call,
) -> None:
    refuse(migrated_url, "event_000000", "NEW.body", code)
    values = [message(session="unstorable" if n in {3, 30} else "s") for n in range(50)]
    publish(values, key=b"k")
    publish([message() for _ in range(50)])
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.received == 100)
        assert run.ingest.counters.rejected == {Reason.UNSTORABLE: 2}
    assert query(EVENTS) == [(98,)]
    kept = query("SELECT value FROM audit_trail.dead_letter ORDER BY id")
    assert [bytes(value) for (value,) in kept] == [values[3], values[30]]


def test_a_dead_letter_that_the_database_refuses_is_kept_without_its_message(
    settings: IngestSettings, migrated_url: str, publish: Call, running: Call, query: Query, message: Call
) -> None:
    refuse(migrated_url, "dead_letter", "coalesce(NEW.value, '')", "54000")
    publish([b"{unstorable", message()], key=b"k")
    with running(settings) as run:
        run.until(lambda: run.ingest.counters.received == 2)
    assert query("SELECT reason, value, value_size FROM audit_trail.dead_letter") == [
        (Reason.INVALID_JSON, None, 11)
    ]
    assert query(EVENTS) == [(1,)]


def test_a_dead_letter_that_is_refused_in_any_form_stops_ingest(
    settings: IngestSettings, migrated_url: str, publish: Call, running: Call, query: Query
) -> None:
    refuse(migrated_url, "dead_letter", "'unstorable'", "54000")
    publish([b"{"], key=b"k")
    with (
        pytest.raises(ConfigurationError, match="not even the dead letter"),
        running(settings) as run,
    ):
        run.join()
    assert query(LETTERS) == [(0,)]
