"""Events reach the API in order and once, whatever it answers meanwhile; what it rejects is kept and told."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

from audit_trail_publisher import Publisher, Receipt
from audit_trail_publisher.errors import ClosedError, ConfigurationError, SpoolFullError
from audit_trail_publisher.relay import relay as relay_module
from audit_trail_publisher.relay.backoff import FIRST, LONGEST, Backoff
from audit_trail_publisher.spool import group_commit
from audit_trail_publisher.transports.http import HttpTransport, token_from_file
from tests.foreign_server import answer, for_ever, foreign, one_by_one, tls_of_127_0_0_1
from tests.publisher.conftest import Make
from tests.publisher.scripted_api import Event, Said, ScriptedApi, accept, problem
from tests.waiting import eventually

NOWHERE = "http://127.0.0.1:9"


def read(trail: Publisher, count: int, patient: str = "17") -> list[str]:
    """Record `count` events; their ids."""
    return [
        str(
            trail.record.read(resource=("Observation", f"o-{at}"), patient=patient, actor="dr-smith").event_id
        )
        for at in range(count)
    ]


def ids(events: Sequence[Event]) -> list[str]:
    return [event["event_id"] for event in events]


def sent(trail: Publisher) -> None:
    eventually(lambda: trail.health().spool_events == 0)


def test_events_are_sent_in_order_and_in_batches(api: ScriptedApi, make: Make) -> None:
    trail = make(url=api.url, token="secret-token")
    wanted = read(trail, 300)
    sent(trail)
    assert ids(api.accepted) == wanted
    assert set(api.tokens) == {"Bearer secret-token"}
    assert api.connections == 1
    assert trail.metrics()["delivered"] == 300
    assert trail.health().ok
    sequences = [event["source"]["sequence"] for event in api.accepted]
    assert sequences == list(range(1, 301))


def test_what_an_earlier_run_has_left_is_sent_first(api: ScriptedApi, make: Make) -> None:
    first = make(url=NOWHERE)
    left = read(first, 3)
    first.close()
    assert api.accepted == []
    again = make(url=api.url)
    left += read(again, 2)
    sent(again)
    assert ids(api.accepted) == left
    assert [event["source"]["sequence"] for event in api.accepted] == [1, 2, 3, 4, 5]


def test_an_event_that_its_caller_repeats_stays_the_same_event(api: ScriptedApi, make: Make) -> None:
    """So it has no number: a second one would make the repetition a conflict."""
    trail = make(url=api.url)
    event = trail.build.record.read(resource=("Observation", "o-1"), actor="dr-smith")
    for _ in range(2):
        trail.publish(event)
        sent(trail)
        trail.record.searched(actor="dr-smith")
        trail.record.searched(actor="dr-smith", event_id=event.event_id)
        sent(trail)
    once, _, _, again, _, _ = api.accepted
    assert once == again
    assert [each["source"].get("sequence") for each in api.accepted] == [None, 1, None, None, 2, None]


def test_close_sends_what_waits_and_refuses_more(api: ScriptedApi, make: Make) -> None:
    trail = make(url=api.url, close_seconds=20.0)
    wanted = read(trail, 50)
    trail.close()
    assert ids(api.accepted) == wanted
    with pytest.raises(ClosedError):
        read(trail, 1)
    trail.close()


def test_a_server_in_trouble_gets_everything_later_and_in_order(api: ScriptedApi, make: Make) -> None:
    api.first = [problem(503), problem(500), problem(502), problem(429), Said(200, "not the trail")]
    trail = make(url=api.url)
    wanted = read(trail, 20)
    sent(trail)
    assert ids(api.accepted) == wanted
    assert trail.metrics()["failed_attempts"] == 5


def test_a_batch_that_was_accepted_without_an_answer_is_sent_again_with_the_same_ids(
    api: ScriptedApi, make: Make
) -> None:
    api.first = [problem(502)]
    trail = make(url=api.url)
    read(trail, 1)
    sent(trail)
    assert api.batches[0] == api.batches[1]


@pytest.mark.parametrize("date", [False, True], ids=["seconds", "date"])
def test_the_trail_may_say_when_to_come_again(api: ScriptedApi, make: Make, date: bool) -> None:
    value = "1"
    if date:
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    times: list[float] = []

    def timed(events: Sequence[Event]) -> Said:
        times.append(time.monotonic())
        return problem(429, Retry_After=value) if len(times) == 1 else accept(events)

    api.script = timed
    trail = make(url=api.url)
    read(trail, 1)
    sent(trail)
    assert times[1] - times[0] >= 1.0


def test_waiting_times_grow_and_have_an_end() -> None:
    assert FIRST < 0.5
    backoff = Backoff()
    waits = [backoff.after_failure() for _ in range(30)]
    assert waits[0] < 0.3
    assert LONGEST / 2 <= waits[-1] <= LONGEST
    assert len(set(waits)) == 30, "without jitter, services come back together"
    assert all(later > earlier / 2 for earlier, later in pairwise(waits))
    assert 5.0 <= backoff.after_failure(5.0) <= 5.0 + LONGEST
    assert backoff.after_failure(1e9) <= 3600 + LONGEST
    backoff.after_success()
    assert backoff.after_failure() < 0.3


@pytest.mark.parametrize("status", [413, 408])
def test_a_batch_that_is_too_large_is_split(api: ScriptedApi, make: Make, status: int) -> None:
    """Also one that takes too long on a slow line."""

    def small_only(events: Sequence[Event]) -> Said:
        return problem(status) if len(events) > 3 else accept(events)

    api.script = small_only
    trail = make(url=NOWHERE)
    wanted = read(trail, 40)
    trail.close()
    again = make(url=api.url)
    again.start()
    sent(again)
    assert ids(api.accepted) == wanted
    assert again.rejected() == []


def test_an_event_that_is_too_large_alone_is_kept_and_the_others_pass(
    api: ScriptedApi, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def small_events(events: Sequence[Event]) -> Said:
        return problem(413) if any(event.get("reason") == "large" for event in events) else accept(events)

    api.script = small_events
    trail = make(url=NOWHERE)
    before = read(trail, 5)
    large = trail.record.read(resource=("Observation", "x"), actor="dr-smith", reason="large").event_id
    after = read(trail, 5)
    trail.close()
    again = make(url=api.url)
    again.start()
    sent(again)
    assert ids(api.accepted) == before + after
    assert [(event.event_id, event.reason) for event in again.rejected()] == [(large, "oversized")]
    assert "the trail rejected 1 events" in again.health().problems
    assert any(record.levelno == logging.ERROR and str(large) in record.message for record in caplog.records)


def rejecting(patient: str) -> Any:
    """A script that rejects the events of one patient, as the API does: with 422 when nothing else is left."""

    def script(events: Sequence[Event]) -> Said:
        items = [
            {"index": at, "event_id": event["event_id"]}
            if event["patients"][0]["id"] != patient
            else {"index": at, "reason": "invalid_field", "field": "reason", "message": "wrong"}
            for at, event in enumerate(events)
        ]
        if all("reason" in item for item in items):
            return Said(422, {"title": "x", "status": 422, "detail": "none is valid", "errors": items})
        return Said(202, {"accepted": 0, "rejected": 0, "events": items})

    return script


def test_rejected_events_are_kept_and_can_be_sent_again(api: ScriptedApi, make: Make) -> None:
    api.script = rejecting("bad")
    trail = make(url=NOWHERE)
    wanted = [*read(trail, 2), *read(trail, 1, "bad"), *read(trail, 2)]
    trail.close()
    again = make(url=api.url)
    alone = read(again, 1, "bad")
    sent(again)
    bad = [wanted[2], *alone]
    assert ids(api.accepted) == wanted[:2] + wanted[3:]
    kept = again.rejected()
    assert [str(event.event_id) for event in kept] == bad
    assert (kept[0].reason, kept[0].field, kept[0].message) == ("invalid_field", "reason", "wrong")
    assert again.metrics()["rejected_events"] == 2
    api.script = accept
    assert again.resend() == 2
    sent(again)
    assert ids(api.accepted)[-2:] == bad
    assert again.health().ok
    api.script = rejecting("bad")
    read(again, 1, "bad")
    sent(again)
    [last] = again.rejected()
    assert again.discard(last.event_id, by="n.operator", reason="a test")
    assert again.health().ok


def test_missing_rights_keep_events_and_are_loud(
    api: ScriptedApi, make: Make, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Until somebody writes another token into the file."""
    file = tmp_path / "token"
    file.write_text("old\n")

    def by_token(events: Sequence[Event]) -> Said:
        return accept(events) if api.tokens[-1] == "Bearer new" else problem(401)

    api.script = by_token
    trail = make(url=api.url, token=token_from_file(file))
    wanted = read(trail, 3)
    eventually(lambda: "401" in trail.health().last_error)
    assert trail.health().spool_events == 3
    assert next(each.levelname for each in caplog.records if "401" in each.message) == "ERROR"
    file.unlink()
    eventually(lambda: "the token can't be read" in trail.health().last_error)
    file.write_text("new\n")
    sent(trail)
    assert ids(api.accepted) == wanted
    assert trail.rejected() == []


def test_an_event_that_is_denied_among_others_is_not_lost(
    api: ScriptedApi, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def deny_first(events: Sequence[Event]) -> Said:
        said = accept(events)
        said.body["events"][0] = {"index": 0, "message": "not allowed with these credentials"}
        return said

    trail = make(url=NOWHERE)
    wanted = read(trail, 3)
    trail.close()
    api.first = [deny_first]
    again = make(url=api.url)
    again.start()
    sent(again)
    assert ids(api.accepted) == [*wanted[1:], wanted[0]]
    assert "may not publish as patient-service" in caplog.text
    assert "not allowed with these credentials" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        {"events": [{"index": 7, "event_id": "01927d1c-0000-7000-8000-000000000001"}]},
        {"events": [{"index": 0, "event_id": "01927d1c-0000-7000-8000-000000000001"}]},
        {"events": []},
        {},
        "something else",
    ],
    ids=["other-index", "other-id", "nothing", "no-events", "no-object"],
)
def test_an_answer_that_does_not_account_for_an_event_is_none(
    api: ScriptedApi, make: Make, body: Any
) -> None:
    api.first = [Said(202, body)]
    trail = make(url=api.url)
    wanted = read(trail, 1)
    sent(trail)
    assert len(api.batches) == 2
    assert ids(api.batches[1]) == wanted


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(make: Make) -> None:
    """The server answers one request for each connection, and says nothing of closing it."""

    def script(request: bytes) -> Any:

        said = accept(json.loads(request.partition(b"\r\n\r\n")[2]))
        yield answer(202, json.dumps(said.body).encode()).replace(b"Connection: close\r\n", b"")

    with foreign(script) as server:
        trail = make(url=f"http://127.0.0.1:{server.port}")
        for _ in range(3):
            read(trail, 1)
            sent(trail)
        assert len(server.requests) == 3
        assert trail.metrics()["failed_attempts"] == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (lambda _: one_by_one(b"HTTP/1.1 20"), "does not answer"),
        (lambda _: iter([b"this is not HTTP\r\n\r\n"]), "does not answer"),
        (
            lambda _: for_ever(b"x" * 65536, b"HTTP/1.1 202 X\r\nContent-Length: 999999999\r\n\r\n"),
            "too long",
        ),
        (lambda _: iter([answer(302, b"", "Location: http://elsewhere.example/")]), "check the url"),
        (
            lambda _: iter([answer(404, b"<html>secret text of another server</html>")]),
            "404: no reason given",
        ),
    ],
    ids=["cut", "nonsense", "endless", "redirect", "elsewhere"],
)
def test_what_is_no_trail_gets_nothing_and_harms_nothing(make: Make, script: Any, said: str) -> None:
    with foreign(script) as server:
        trail = make(url=f"http://127.0.0.1:{server.port}", token="secret-token")
        read(trail, 2)
        eventually(lambda: said in trail.health().last_error)
        assert "secret" not in trail.health().last_error
        assert trail.health().spool_events == 2


def test_a_server_that_never_answers_is_given_up(make: Make) -> None:
    def silence(_: bytes) -> Any:
        yield from for_ever(b"")

    with foreign(silence, pause=0.05) as server:
        url = f"http://127.0.0.1:{server.port}"
        trail = make(transport=HttpTransport(url, seconds=0.3))
        read(trail, 1)
        eventually(lambda: "timed out" in trail.health().last_error)
        assert trail.health().spool_events == 1


@pytest.mark.parametrize(
    ("first", "part"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 202 Accepted\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 9999\r\n\r\n", b" "),
    ],
    ids=["status", "header", "continue", "body"],
)
def test_a_server_that_drips_is_given_up(make: Make, first: bytes, part: bytes) -> None:
    with foreign(lambda _: for_ever(part, first), pause=0.02) as server:
        trail = make(transport=HttpTransport(f"http://127.0.0.1:{server.port}", seconds=0.5))
        read(trail, 1)
        eventually(lambda: "timed out" in trail.health().last_error)
        assert trail.health().spool_events == 1


def test_what_a_server_says_can_not_pass_for_another_line_of_the_log(
    api: ScriptedApi, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    forged = "x\n2026-01-01 CRITICAL forged\x1b[2J" + "y" * 10_000

    items = [{"index": 0, "reason": forged, "field": forged, "message": forged}]
    api.first = [Said(503, {"detail": forged}), Said(422, {"detail": forged, "errors": items})]
    trail = make(url=api.url)
    read(trail, 1)
    sent(trail)
    [kept] = trail.rejected()
    for text in (
        trail.health().last_error,
        kept.message,
        *(record.getMessage() for record in caplog.records),
    ):
        assert text.isprintable()
        assert len(text) < 1500
    trail.close()
    with foreign(lambda _: iter([forged.encode() + b"\r\n\r\n"])) as server:
        again = make(transport=HttpTransport(f"http://127.0.0.1:{server.port}"))
        read(again, 1)
        eventually(lambda: again.health().last_error.endswith("does not answer: BadStatusLine"))


def test_tls_is_checked_and_an_authority_can_be_trusted(make: Make, tmp_path: Any) -> None:

    def script(request: bytes) -> Any:
        yield answer(202, json.dumps(accept(json.loads(request.partition(b"\r\n\r\n")[2])).body).encode())

    tls, trusted = tls_of_127_0_0_1(tmp_path)
    with foreign(script, tls=tls) as server:
        url = f"https://127.0.0.1:{server.port}"
        trail = make(url=url)
        read(trail, 1)
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in trail.health().last_error)
        trail.close()
        again = make(url=url, tls=ssl.create_default_context(cafile=trusted))
        again.start()
        sent(again)


def test_wrong_urls_and_tokens_are_told(make: Make) -> None:
    for url in (
        "audit.example",
        "ftp://audit.example",
        "https://user:pw@audit.example",
        "https://a.example/?x",
        "https://a.example:99999",
    ):
        with pytest.raises(ConfigurationError):
            make(url=url)
    with pytest.raises(ConfigurationError, match="url"):
        make()
    trail = make(url=NOWHERE, token="two words")
    read(trail, 1)
    eventually(lambda: "no bearer token" in trail.health().last_error)


def test_a_defect_of_a_transport_does_not_end_the_relay(
    api: ScriptedApi, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(HttpTransport):
        calls = 0

        def send(self, messages: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise KeyError("17")
            return super().send(messages)

    trail = make(transport=Broken(api.url))
    wanted = read(trail, 2)
    sent(trail)
    assert ids(api.accepted) == wanted
    assert trail.metrics()["failed_attempts"] == 1
    assert "a defect of the client: KeyError" in caplog.text  # what it says can quote an event


def test_a_full_spool_raises_or_blocks_as_chosen(api: ScriptedApi, make: Make) -> None:
    api.script = lambda _: problem(503)
    trail = make(url=api.url, max_spool_bytes=2000)
    with pytest.raises(SpoolFullError):
        read(trail, 20)
    kept = trail.health().spool_events
    assert trail.metrics()["spool_full"] == 1
    assert any("full" in text for text in trail.health().problems)
    trail.close()
    blocking = make(url=api.url, max_spool_bytes=2000, when_full="block", block_seconds=0.1)
    with pytest.raises(SpoolFullError):
        read(blocking, 1)
    blocking.close()
    patient = make(url=api.url, max_spool_bytes=2000, when_full="block")
    api.script = accept
    read(patient, 5)
    sent(patient)
    assert len(api.accepted) == kept + 5


def test_close_ends_calls_that_wait_for_room_and_does_not_wait_for_it_itself(
    api: ScriptedApi, make: Make
) -> None:
    """Otherwise a service whose trail is away could not end."""
    api.script = lambda _: problem(503)
    trail = make(url=api.url, max_spool_bytes=1500, when_full="block", lifecycle=True)
    trail.start()

    async def main() -> list[object]:
        calls = [trail.aio.record.read(resource=("Observation", "1"), actor="dr-smith") for _ in range(20)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        trail.close(0.5)
        return await asyncio.gather(*calls, return_exceptions=True)

    kinds = {type(each) for each in asyncio.run(main())}
    assert SpoolFullError in kinds
    assert kinds <= {Receipt, SpoolFullError, ClosedError}


@pytest.mark.parametrize("options", [{}, {"when_full": "block"}])
def test_a_service_with_a_full_spool_starts_and_stops(api: ScriptedApi, make: Make, options: Any) -> None:
    api.script = lambda _: problem(503)
    full = make(url=api.url, max_spool_bytes=1000)
    with pytest.raises(SpoolFullError):
        read(full, 20)
    full.close()
    for _ in range(2):
        trail = make(url=api.url, max_spool_bytes=1000, lifecycle=True, **options)
        trail.start()
        trail.close(0.0)
    api.script = accept
    trail = make(url=api.url)
    trail.start()
    sent(trail)
    seen = [event["type"] for event in api.accepted if event["type"] != "record.read"]
    assert seen == ["service.started", "service.stopped"] * 2


def test_a_service_starts_and_says_so_when_even_the_reserved_room_is_used_up(
    api: ScriptedApi, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(group_commit, "OWN_BYTES", 0)
    trail = make(url=api.url, max_spool_bytes=1, lifecycle=True)
    trail.start()
    trail.close()
    lines = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert [line.partition(" is not recorded")[0] for line in lines] == ["service.started", "service.stopped"]


def test_calls_that_wait_for_room_are_said_once(
    api: ScriptedApi, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    api.script = lambda _: problem(503)
    trail = make(url=api.url, max_spool_bytes=1000, when_full="block", block_seconds=0.15)
    with pytest.raises(SpoolFullError) as caught:
        read(trail, 20)
    assert caught.value.waited
    with pytest.raises(SpoolFullError):
        read(trail, 1)
    assert sum("calls wait for room" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_missing_rights_are_a_problem_at_once_until_they_are_given(
    api: ScriptedApi, make: Make, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    api.script = lambda _: problem(status)
    trail = make(url=api.url)
    read(trail, 1)
    eventually(lambda: any("until an operator helps" in text for text in trail.health().problems))
    assert ("may not publish as patient-service" in trail.health().last_error) == (status == 403)
    api.script = accept
    sent(trail)
    health = trail.health()
    assert (health.ok, health.last_error, health.last_error_at) == (True, "", None)
    assert caplog.messages[-1] == "events of the spool are sent again"


def test_health_says_what_an_operator_has_to_look_at(api: ScriptedApi, make: Make) -> None:
    trail = make(url=api.url, alert_seconds=0.05)
    assert trail.health().problems == ("nothing is sent: the publisher was not started, or is closed",)
    api.script = lambda _: problem(503)
    read(trail, 1)
    eventually(lambda: any("has waited for" in text and "503" in text for text in trail.health().problems))
    assert not trail.health().ok
    api.script = accept
    sent(trail)
    assert trail.health().ok
    assert trail.health().last_success_at is not None


def test_repeated_failures_do_not_flood_the_log(
    api: ScriptedApi, make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "Backoff", _Impatient)
    api.script = lambda _: problem(503)
    trail = make(url=api.url)
    read(trail, 1)
    eventually(lambda: trail.metrics()["failed_attempts"] > 20)
    lines = [record.message for record in caplog.records if "events wait in the spool" in record.message]
    assert len([line for line in lines if "(503)" in line]) == 1, lines


class _Impatient(Backoff):
    def after_failure(self, retry_after: float | None = None) -> float:  # noqa: ARG002
        return 0.001


def test_a_server_is_not_sent_the_same_batch_twice_at_once(make: Make, api: ScriptedApi) -> None:
    """Two processes share a spool, and one of them sends."""
    one, two = make(url=api.url), make(url=api.url)
    wanted: list[str] = []
    for _ in range(20):
        wanted += read(one, 1) + read(two, 1)
    sent(one)
    assert ids(api.accepted) == wanted
    one.close()
    wanted += read(two, 1)
    sent(two)
    assert ids(api.accepted) == wanted
