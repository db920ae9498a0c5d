"""Against the trail itself: what is published is recorded once and in order, and a confirmation proves it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from audit_trail.embedded.broker import Broker
from audit_trail_publisher import Promise, Publisher
from audit_trail_publisher.errors import NotConfirmedError, ProofError, RejectedEventError
from audit_trail_publisher.proofs import confirmation
from audit_trail_publisher.transports.kafka import KafkaTransport
from event_store.merkle import leaf_hash
from event_store.tlog.proof_files import parse_proof
from event_store.tlog.proofs import verify_inclusion
from event_store.tlog.tree_heads import open_head
from tests.databases import MIGRATED, Databases
from tests.publisher.conftest import Make
from tests.publisher.real_trail import TAKES_SEQUENCES, RealTrail
from tests.signing import KEY
from tests.tokens import token
from tests.waiting import eventually
from tests.web.rest.transparency_log import ORIGIN

SMALLEST = 4096


@pytest.fixture(scope="module")
def real(databases: Databases, broker: Broker) -> Iterator[RealTrail]:
    """One trail for the tests of this file."""
    with databases.copy(MIGRATED) as url, RealTrail(url, broker, max_message_bytes=SMALLEST) as trail:
        yield trail


@pytest.fixture
def to(make: Make, real: RealTrail) -> Callable[..., Publisher]:
    """`to(roles, **options)`: a publisher whose token has these roles."""

    def publisher(roles: tuple[str, ...] = ("publisher", "auditor"), **options: Any) -> Publisher:
        defaults = {"url": real.url, "token": token(*roles), "sequence": TAKES_SEQUENCES}
        return make("patient-service", **{**defaults, **options})

    return publisher


def of(real: RealTrail, patient: str) -> list[str]:
    return [event["event_id"] for event in real.recorded() if event.get("patients") == [{"id": patient}]]


@pytest.mark.parametrize("way", ["http", "kafka"])
def test_events_are_recorded_once_and_in_order(
    to: Callable[..., Publisher], real: RealTrail, way: str
) -> None:
    options: dict[str, Any] = {}
    if way == "kafka":
        options = {"transport": KafkaTransport(real.bootstrap_servers, topic=real.topic)}
    trail = to(**options)
    patients = [f"{way}-{number}" for number in range(3)]
    wanted: dict[str, list[str]] = {patient: [] for patient in patients}
    for at in range(90):
        patient = patients[at % 3]
        receipt = trail.record.read(resource=("Observation", str(at)), patient=patient, actor="dr-smith")
        wanted[patient].append(str(receipt.event_id))
    eventually(lambda: {patient: of(real, patient) for patient in patients} == wanted)
    assert trail.metrics()["rejected_events"] == 0


def test_a_confirmed_call_returns_the_position_and_a_proof_that_others_accept(
    to: Callable[..., Publisher], real: RealTrail
) -> None:
    trail = to()
    trail.record.searched(actor="dr-smith")
    confirmed = trail.confirmed.record.read(
        resource=("Observation", "o-1"), patient="sealed", actor="dr-smith"
    )
    assert confirmed.promise is Promise.CONFIRMED
    assert real.recorded()[confirmed.position]["event_id"] == str(confirmed.event_id)
    proof = parse_proof(confirmed.proof)
    head, _ = open_head(proof.note, [KEY.verifier], ORIGIN)
    assert proof.extra is not None
    verify_inclusion(confirmed.position, head.size, leaf_hash(proof.extra), proof.hashes, head.root)
    assert abs(confirmed.recorded_at.timestamp() - time.time()) < 60
    assert trail.metrics()["confirmed"] == 1


@pytest.mark.parametrize("seconds", [0.3])
def test_a_call_that_is_not_confirmed_in_time_is_recorded_later(
    to: Callable[..., Publisher], real: RealTrail, seconds: float
) -> None:
    trail = to()
    real.stop_ingest()
    try:
        with pytest.raises(NotConfirmedError, match="not visible yet") as caught:
            trail.confirmed_within(seconds).user.logged_in(actor="late")
    finally:
        real.start_ingest()
    eventually(lambda: str(caught.value.event_id) in [event["event_id"] for event in real.recorded()])
    real.stop_api()
    try:
        with pytest.raises(NotConfirmedError, match="does not answer"):
            trail.confirmed_within(seconds).user.logged_in(actor="later")
    finally:
        real.start_api()
    eventually(lambda: trail.health().spool_events == 0)
    assert trail.metrics()["unconfirmed"] == 2


def test_a_confirmation_needs_a_role_that_may_read_the_event(to: Callable[..., Publisher]) -> None:
    only = to(("publisher",))
    with pytest.raises(NotConfirmedError, match=r"was delivered, and its proof.*role `service_owner`.*403"):
        only.confirmed.user.logged_in(actor="dr-smith")
    only.close()
    owner = to((), token=token("publisher", "service_owner", sources=["patient-service"]))
    assert owner.confirmed.user.logged_in(actor="dr-smith").position >= 0


def test_a_confirmed_call_says_that_the_trail_rejects_its_event(to: Callable[..., Publisher]) -> None:
    """The trail's limit is lower here than the one that the client knows."""
    trail = to()
    with pytest.raises(RejectedEventError) as caught:
        trail.confirmed.record.searched(actor="dr-smith", reason="x" * SMALLEST)
    assert caught.value.reason == "oversized"
    assert [event.event_id for event in trail.rejected()] == [caught.value.event_id]


def test_a_service_that_may_not_report_under_its_name_is_told_so(to: Callable[..., Publisher]) -> None:
    trail = to((), token=token("publisher", sources=["another-service"]))
    trail.user.logged_in(actor="dr-smith")
    eventually(lambda: "403" in trail.health().last_error)
    assert trail.health().spool_events == 1
    assert "this token may not publish as patient-service" in trail.health().last_error
    with pytest.raises(NotConfirmedError, match=r"is in the spool, and was not sent within 0.1 s: .*may not"):
        trail.confirmed_within(0.1).user.logged_in(actor="dr-smith")


def test_a_proof_of_something_else_is_refused(to: Callable[..., Publisher]) -> None:
    trail = to()
    first = trail.confirmed.user.logged_in(actor="first")
    second = trail.confirmed.user.logged_in(actor="second")
    body = trail.build.user.logged_in(actor="first")
    for event_id, content, file in (
        (first.event_id, b"other content", first.proof),
        (second.event_id, b"", first.proof),
        (body.event_id, b"", b"no proof"),
        (uuid4(), b"", first.proof.replace(b"index ", b"index 9")),
    ):
        with pytest.raises(ProofError):
            confirmation(event_id, content, file)


def test_an_altered_path_or_root_is_refused(
    to: Callable[..., Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    from audit_trail_publisher import confirming  # noqa: PLC0415

    bodies: list[bytes] = []

    def remember(event_id: Any, body: bytes, file: bytes) -> Any:
        bodies.append(body)
        return confirmation(event_id, body, file)

    monkeypatch.setattr(confirming, "confirmation", remember)
    trail = to()
    trail.user.logged_in(actor="before")
    good = trail.confirmed.user.logged_in(actor="dr-smith")
    lines = good.proof.split(b"\n")
    index = next(at for at, line in enumerate(lines) if line.startswith(b"index "))
    assert lines[index + 1], "a path of one hash at least"
    changed = {
        "hash": [*lines[: index + 1], b"A" * 43 + b"=", *lines[index + 2 :]],
        "missing": [*lines[: index + 1], *lines[index + 2 :]],
        "added": [*lines[: index + 1], lines[index + 1], *lines[index + 1 :]],
        "index": [*lines[:index], b"index 0", *lines[index + 1 :]],
    }
    assert confirmation(good.event_id, bodies[0], good.proof) == good
    for altered in changed.values():
        with pytest.raises(ProofError):
            confirmation(good.event_id, bodies[0], b"\n".join(altered))


def test_kafka_that_is_away_or_lacks_the_topic_keeps_the_events(
    to: Callable[..., Publisher], real: RealTrail
) -> None:
    trail = to(transport=KafkaTransport("127.0.0.1:9", topic=real.topic, seconds=0.5))
    first = trail.record.searched(patient="kafka-away", actor="dr-smith").event_id
    eventually(lambda: "Kafka" in trail.health().last_error)
    trail.close()
    trail = to(transport=KafkaTransport(real.bootstrap_servers, topic="no-such-topic", seconds=1))
    trail.start()
    eventually(lambda: "no topic no-such-topic" in trail.health().last_error)
    trail.close()
    trail = to(transport=KafkaTransport(real.bootstrap_servers, topic=real.topic))
    trail.start()
    eventually(lambda: of(real, "kafka-away") == [str(first)])


def test_an_event_that_the_producer_may_not_send_is_kept_and_the_others_pass(
    to: Callable[..., Publisher], real: RealTrail
) -> None:
    transport = KafkaTransport(real.bootstrap_servers, topic=real.topic, max_request_size=2000)
    trail = to(transport=transport)
    wanted = [trail.record.searched(patient="kafka-large", actor="dr-smith").event_id for _ in range(3)]
    large = trail.record.searched(patient="kafka-large", actor="dr-smith", reason="x" * 3000).event_id
    wanted.append(trail.record.searched(patient="kafka-large", actor="dr-smith").event_id)
    eventually(lambda: of(real, "kafka-large") == [str(each) for each in wanted])
    assert [(each.event_id, each.reason) for each in trail.rejected()] == [(large, "oversized")]


def test_the_spool_of_a_service_that_is_gone_is_sent_by_the_command(
    to: Callable[..., Publisher],
    real: RealTrail,
    spool: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from audit_trail_publisher.__main__ import main  # noqa: PLC0415

    trail = to(url="http://127.0.0.1:9")
    left = trail.record.searched(patient="left-behind", actor="dr-smith").event_id
    trail.close()
    file = tmp_path / "token"
    file.write_text(token("publisher"))
    arguments = ["send", str(spool), "--url", real.url, "--token-file", str(file)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "everything is sent\n"
    eventually(lambda: of(real, "left-behind") == [str(left)])
