"""Attempts that were denied: each on record, and a flood as a count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from domain.access.principal import Principal, Role
from domain.event import AuditEvent, Client, Outcome, Request, Source
from domain.read_audit.events import AccessDetails, Via, denied_event
from domain.read_audit.query_log import LoggedQueries, LoggedQuery
from domain.validation import decode_event, encode_event
from ingest.publisher import Message
from tests.hospital import at
from web.read_audit.denials import Denials
from web.read_audit.publication import Recording

SOURCE = Source(service="audit-trail")


class Kept:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def publish(self, messages: Sequence[Message]) -> None:
        self.events.extend(decode_event(message.value or b"") for message in messages)

    def reach(self, topic: str) -> None:
        """Always."""


def attempt(address: str | None) -> AccessDetails:
    return AccessDetails(
        via=Via.REST,
        address="/v1/events",
        correlation_id="c",
        at=at(0),
        method="GET",
        path="/v1/events",
        status=401,
        client_address=address,
        reason="no credentials",
    )


def after(what: Callable[[Denials], None], **bounds: int) -> list[AuditEvent]:
    kept = Kept()

    async def run() -> None:
        recording = Recording(kept)
        denials = Denials(recording, SOURCE, **bounds)
        what(denials)
        denials.close()
        await recording.close()

    asyncio.run(run())
    return kept.events


def counts(events: Sequence[AuditEvent]) -> list[tuple[str | None, int]]:
    return [
        (event.client.address if event.client else None, event.attributes.get("count", 1)) for event in events
    ]


def test_the_first_attempt_is_on_record_though_nothing_was_connected_yet() -> None:
    (event,) = after(lambda denials: denials.add(None, attempt("10.0.0.1")))
    assert (event.type, event.outcome_reason) == ("access.denied", "no credentials")
    assert event.request is not None
    assert (event.request.method, event.request.path, event.request.status) == ("GET", "/v1/events", 401)


def test_a_flood_from_one_address_is_told_as_a_count_and_hides_no_other() -> None:
    def knock(denials: Denials) -> None:
        for _ in range(1000):
            denials.add(None, attempt("10.0.0.1"))
        denials.add(None, attempt("10.0.0.2"))

    events = after(knock, most=3)
    assert counts(events) == [*[("10.0.0.1", 1)] * 3, ("10.0.0.2", 1), ("10.0.0.1", 997)]
    assert events[-1].request is not None
    assert (events[-1].request.path, events[-1].request.status) == ("/v1/events", 401)


def test_of_a_flood_is_told_what_all_of_it_has_in_common() -> None:
    known = Principal(id="17", roles=frozenset({Role.PATIENT}))
    by_graphql = replace(
        attempt("10.0.0.1"),
        via=Via.GRAPHQL,
        address="/graphql",
        path="/graphql",
        user_agent="curl",
        status=403,
    )

    def knock(denials: Denials) -> None:
        for _ in range(100):
            denials.add(known, attempt("10.0.0.1"))
        denials.add(known, by_graphql)

    event = after(knock, most=1)[-1]
    assert event.attributes == {
        "scope": {"roles": ["patient"]},
        "count": 100,
        "seconds": event.attributes["seconds"],
    }
    assert (event.actor.id, event.outcome, event.outcome_reason) == (
        "17",
        Outcome.MINOR_FAILURE,
        "no credentials",
    )
    assert event.client == Client(address="10.0.0.1")
    assert event.request == Request(method="GET")
    assert [(each.type, each.id) for each in event.resources] == [("AuditLog", "/")]
    assert event.correlation_id is None


def test_of_somebody_with_several_tokens_is_told_what_these_have_in_common() -> None:
    asked = LoggedQueries([LoggedQuery("patient", {"id": "18"}, 0)], ("18",))
    known = Principal(id="17", roles=frozenset({Role.PATIENT}), issuer="i", session="a", patients=("17",))

    def knock(denials: Denials) -> None:
        for session in "abcab":
            denials.add(replace(known, session=session), attempt("10.0.0.1"), asked)

    event = after(knock, most=1)[-1]
    assert (event.actor.id, event.session, event.attributes["count"]) == ("17", None, 4)
    assert event.attributes["scope"] == {"roles": ["patient"], "issuer": "i", "patients": ["17"]}
    assert [each.id for each in event.resources] == ["/v1/events", "18"]


def test_what_is_too_long_hides_nothing_else() -> None:
    known = Principal(id="17", roles=frozenset({Role.PATIENT}))
    long = tuple(f"{number:x>256}" for number in range(99))
    sources = ["\U0001f600" * 250] * 40
    asked = LoggedQueries(
        [LoggedQuery("publish", {"sources": sources}, 0), LoggedQuery("patient", {"id": "18"}, 0)],
        (*long, "18"),
    )
    (event,) = after(lambda denials: denials.add(known, attempt("10.0.0.1"), asked))
    assert event.attributes["questions"] == [
        {"operation": "publish", "asked": "..."},
        {"operation": "patient", "asked": {"id": "18"}},
    ]
    named = [each.id for each in event.resources if each.type == "Patient"]
    assert named[0] == "18"
    assert event.attributes["patients_left_out"] == 100 - len(named)


def test_an_attempt_that_asked_for_much_still_fits_into_a_short_message() -> None:
    known = Principal(id="17", roles=frozenset({Role.PATIENT}))
    ids = tuple(f"{number:0>250}" for number in range(1000))
    asked = LoggedQueries([LoggedQuery("events", {"patients": ids}, 0) for _ in range(100)], ids)
    for limit in (4096, 1 << 20):
        event = denied_event(known, attempt("10.0.0.1"), SOURCE, asked, max_bytes=limit)
        assert len(encode_event(event)) < min(limit, 40 << 10)
        assert len(event.resources) > 2


def test_what_was_asked_in_vain_is_told_with_the_patients_whom_it_named() -> None:
    known = Principal(id="17", roles=frozenset({Role.PATIENT}))
    asked = LoggedQueries([LoggedQuery("patient", {"id": "18"}, 0)], ("18", "Ada Lovelace"))
    (event,) = after(lambda denials: denials.add(known, attempt("10.0.0.1"), asked))
    assert event.attributes["questions"] == [{"operation": "patient", "asked": {"id": "18"}}]
    # A name is no id, and is in what was asked, which not everybody sees.
    assert [(each.type, each.id) for each in event.resources] == [
        ("AuditLog", "/v1/events"),
        ("Patient", "18"),
    ]
    assert event.patients == ()


def test_strangers_at_an_address_hide_no_principal_who_asks_from_there() -> None:
    known = Principal(id="17", roles=frozenset({Role.PATIENT}))

    def knock(denials: Denials) -> None:
        for _ in range(200):
            denials.add(None, attempt("192.0.2.1"))
        denials.add(known, attempt("192.0.2.1"))

    events = after(knock)
    assert [event.actor.id for event in events if event.actor.id] == ["17"]


def test_a_flood_from_one_ipv6_subscriber_is_one_flood() -> None:
    def knock(denials: Denials) -> None:
        for number in range(100):
            denials.add(None, attempt(f"2001:db8:1:2::{number:x}"))

    assert counts(after(knock, most=1)) == [("2001:db8:1:2::0", 1), ("2001:db8:1:2::/64", 99)]


def test_a_flood_from_many_addresses_is_bounded_in_memory_and_in_events() -> None:
    def knock(denials: Denials) -> None:
        for number in range(500):
            denials.add(None, attempt(f"10.0.{number // 250}.{number % 250}"))
        assert len(denials._windows) == 11

    found = counts(after(knock, addresses=10, in_all=5, most=2))
    assert len(found) == 11
    assert sum(count for _, count in found) == 500
    assert found[-1] == (None, 490)


def test_a_new_window_begins_when_one_has_ended() -> None:
    kept = Kept()

    async def run() -> None:
        recording = Recording(kept)
        denials = Denials(recording, SOURCE, seconds=0.05, most=1)
        for _ in range(3):
            denials.add(None, attempt("10.0.0.1"))
            denials.add(None, attempt("10.0.0.1"))
            await asyncio.sleep(0.15)
        await recording.close()

    asyncio.run(run())
    assert len(kept.events) == 6
