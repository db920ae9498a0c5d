"""A projector knows the traced appends of its events, and no notification of another session confuses it."""

from __future__ import annotations

from contextlib import closing

from event_store.database import INGEST, PROJECTOR, Database
from event_store.notification import CHANNEL, Announcer, read_announcement
from event_store.tracing import TraceContext
from projections.wakeup import WakeUp
from tests.waiting import eventually

A, B, C = (TraceContext(f"00-{letter * 32}-{letter * 16}-01") for letter in "abc")


def test_a_batch_of_events_has_the_appends_that_it_reaches_into(migrated_url: str) -> None:
    with (
        closing(Database(migrated_url, PROJECTOR)) as projector,
        closing(Database(migrated_url, INGEST)) as ingest,
    ):
        wakeup = WakeUp(projector)
        wakeup.listen()
        announcer = Announcer(ingest)
        announcer.announce(3, A)
        with ingest.transaction() as connection, connection.cursor() as cursor:
            for payload in (
                "",
                "5",
                "5 " + "0" * 55,
                "x " + A.traceparent,
                f"-1 {A.traceparent}",
                "y" * 7000,
            ):
                cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
        announcer.announce(8, B)
        announcer.announce(9, C)
        eventually(lambda: wakeup.appends_between(-1, 100) == [A, B, C])
        assert wakeup.appends_between(-1, 1) == [A]
        assert wakeup.appends_between(-1, 4) == [A, B]
        assert wakeup.appends_between(4, 7) == [B]
        assert wakeup.appends_between(7, 8) == [C]
        assert wakeup.appends_between(8, 100) == []
        wakeup.close()
        assert wakeup.appends_between(8, 100) == []


def test_only_a_size_and_a_trace_context_are_an_announcement() -> None:
    found = read_announcement(f"8 {B.traceparent}")
    assert (found and found.size, found and found.trace) == (8, B)
    for payload in (
        "8",
        "",
        " ",
        f"8  {B.traceparent}",
        f"{'8' * 19} {B.traceparent}",
        f"8 {B.traceparent} x",
    ):
        assert read_announcement(payload) is None
