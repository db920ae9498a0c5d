"""`audit_trail_publisher.testing`: a service's tests see what it recorded, and fail for what it should not have."""

from __future__ import annotations

import asyncio

import pytest

from audit_trail_publisher import Actor, Confirmation, Promise
from audit_trail_publisher.errors import InvalidEventError, SpoolUnavailableError
from audit_trail_publisher.testing import CapturedTrail, captured
from tests.publisher.conftest import Make


def test_events_are_found_by_what_a_call_gives() -> None:
    trail = CapturedTrail("patient-service")
    with trail.actor("dr-smith", name="Dr Smith"):
        trail.record.read(patient=["17", "18"], resource=("Observation", "o-1"), device="pump-4")
        trail.record.read(patient="18", resource=("Observation", "o-2"), attributes={"ward": "3", "bed": "1"})
    assert trail.only(patient="17").resources[0].id == "o-1"
    assert trail.only(device="pump-4") == trail.only(resource=("Observation", "o-1"))
    assert trail.only(attributes={"ward": "3"}).patients[0].id == "18"
    assert len(trail.matching("record.read", patient="18", actor="dr-smith")) == 2
    assert trail.matching(actor=Actor(id="dr-smith", name="Another")) == []
    trail.assert_none("record.updated")
    trail.clear()
    assert trail.events == []


def test_a_failed_assertion_lists_what_was_recorded() -> None:
    trail = CapturedTrail()
    with pytest.raises(AssertionError, match="nothing"):
        trail.only("record.read")
    trail.user.logged_in(actor="dr-smith")
    with pytest.raises(AssertionError, match=r"(?s)0 events match.*user\.logged_in"):
        trail.only("record.read")
    with pytest.raises(AssertionError, match=r"(?s)an event matches.*user\.logged_in"):
        trail.assert_none(actor="dr-smith")


def test_every_promise_holds_at_once() -> None:
    trail = CapturedTrail()

    async def main() -> None:
        await trail.aio.user.logged_in(actor="dr-smith")
        confirmed = await trail.aio.confirmed.user.logged_out(actor="dr-smith")
        assert isinstance(confirmed, Confirmation)

    with trail:
        asyncio.run(main())
        trail.durable.user.logged_in(actor="dr-smith")
        trail.within(object()).user.logged_in(actor="dr-smith")  # type: ignore[arg-type]
    assert trail.promises == [
        Promise.DURABLE,  # the start
        Promise.DURABLE,
        Promise.CONFIRMED,
        Promise.DURABLE,
        Promise.TRANSACTIONAL,
        Promise.DURABLE,  # the stop
    ]


def test_an_invalid_event_fails_in_the_test_as_in_the_service() -> None:
    trail = CapturedTrail()
    with pytest.raises(InvalidEventError, match=r"patients\[0\]\.id"):
        trail.record.searched(patient="Patient/17", actor="dr-smith")
    trail.assert_none()


@pytest.mark.parametrize("lifecycle", [True, False])
def test_a_captured_publisher_starts_and_stops_without_a_spool(make: Make, lifecycle: bool) -> None:
    trail = make(url="http://127.0.0.1:9", spool="/proc/no-folder", lifecycle=lifecycle)
    with captured(trail) as capture:
        trail.start()
        with trail:
            trail.user.logged_in(actor="dr-smith")
            assert trail.health().ok
            assert trail.metrics()["spool_events"] == 0
            assert (trail.rejected(), trail.resend()) == ([], 0)
        assert not trail.health().ok
    assert capture.only("user.logged_in").source.service == "patient-service"
    ends = ["service.started", "service.stopped"] if lifecycle else []
    assert [event.type for event in capture.events if event.type != "user.logged_in"] == ends
    with pytest.raises(SpoolUnavailableError):
        trail.health()


def test_a_global_publisher_is_captured_for_a_while(make: Make) -> None:
    trail = make(url="http://127.0.0.1:9")
    with captured(trail) as capture:
        trail.user.logged_in(actor="dr-smith")
        trail.confirmed.user.logged_out(actor="dr-smith")
        assert [event.type for event in capture.events] == ["user.logged_in", "user.logged_out"]
        assert capture.events[0].source.service == "patient-service"
    assert trail.health().spool_events == 0
    trail.user.logged_in(actor="dr-smith")
    assert trail.health().spool_events == 1
