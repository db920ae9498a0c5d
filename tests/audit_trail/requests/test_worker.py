"""The worker: what it does with an error, and that nothing is done before the trail has the request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from audit_trail.requests.worker import Attempt, CarryOut, RequestWorker
from audit_trail.requests.workers import publishing_to
from domain.errors import ConfigurationError, UnavailableError
from domain.event import Actor, AuditEvent, Outcome
from domain.operation_request import Kind, OperationRequest, State
from domain.validation import decode_event, encode_event
from event_store.operation_requests import (
    MAX_ATTEMPTS,
    NewRequest,
    RequestQueue,
    get_request,
    request_operation,
)
from ingest.publisher import Message
from tests.trail import Trail


class Desk:
    """A queue with one request, and what was published."""

    def __init__(self, trail: Trail, queue: RequestQueue) -> None:
        self.trail, self.queue = trail, queue
        self.events: list[AuditEvent] = []
        self.kafka_is_away = False
        self.kafka_refuses = False
        by = Actor(id="olga", roles=("operator",))
        self.asked = request_operation(trail.reader, NewRequest(Kind.REBUILD, "user", "why not", by, None))

    def worker(self, carry_out: CarryOut) -> RequestWorker:
        return RequestWorker(self.queue, carry_out, self._publish, "test")

    def _publish(self, event: AuditEvent) -> None:
        if self.kafka_is_away:
            raise UnavailableError("Kafka is away")
        if self.kafka_refuses:
            raise ConfigurationError("Kafka refuses this client: give it Write on the topic")
        self.events.append(decode_event(encode_event(event)))

    @property
    def request(self) -> OperationRequest:
        found = get_request(self.trail.reader, self.asked.id)
        assert found is not None
        return found


@pytest.fixture
def desk(trail: Trail) -> Iterator[Desk]:
    with closing(RequestQueue(trail.projector, "project")) as queue:
        yield Desk(trail, queue)


def test_request_and_end_are_events_of_the_person_and_published_before_and_after(desk: Desk) -> None:
    def carry_out(attempt: Attempt) -> str:
        assert [event.type for event in desk.events] == ["operation.requested"]
        assert desk.request.state is State.RUNNING
        attempt.say("half of it")
        assert desk.request.progress == "half of it"
        attempt.check()
        return "all of it"

    worker = desk.worker(carry_out)
    assert worker.step()
    assert not worker.step()
    assert (desk.request.state, desk.request.result) == (State.DONE, "all of it")
    requested, completed = desk.events
    assert completed.type == "operation.completed"
    assert (requested.actor.id, completed.actor.id) == ("olga", "olga")
    assert completed.attributes["result"] == "all of it"


def test_nothing_is_done_before_the_trail_has_the_request(desk: Desk) -> None:
    def unrecorded(attempt: Attempt) -> str:
        pytest.fail(f"request {attempt.request.id} was carried out without a record")

    desk.kafka_is_away = True
    with pytest.raises(UnavailableError):
        desk.worker(unrecorded).step()
    assert desk.request.state is State.REQUESTED


def test_what_no_event_may_say_is_not_carried_out(trail: Trail) -> None:
    """Whoever has the login of `serve` can store a request with any text."""

    def unrecorded(attempt: Attempt) -> str:
        pytest.fail(f"request {attempt.request.id} was carried out without a record")

    by = Actor(id=" ", roles=("operator",))
    asked = request_operation(trail.reader, NewRequest(Kind.REBUILD, "user", "why not", by, None))
    published: list[Message] = []
    with closing(RequestQueue(trail.projector, "project")) as queue:
        worker = RequestWorker(queue, unrecorded, publishing_to("audit.events", published.extend), "test")
        worker.step()
        worker.step()
    ended = get_request(trail.reader, asked.id)
    assert ended is not None
    assert ended.state is State.FAILED
    assert "it can't be recorded, so it was not done" in str(ended.result)
    assert published == []


def test_the_end_is_published_later_if_kafka_is_away_then(desk: Desk) -> None:
    def carry_out(_: Attempt) -> str:
        desk.kafka_is_away = True
        return "done"

    worker = desk.worker(carry_out)
    worker.step()
    with pytest.raises(UnavailableError):
        worker.step()
    desk.kafka_is_away = False
    worker.step()
    worker.step()
    assert [event.type for event in desk.events] == ["operation.requested", "operation.completed"]


def test_an_error_of_the_operator_fails_at_once_with_its_reason(desk: Desk) -> None:
    def carry_out(_: Attempt) -> str:
        raise ConfigurationError("mend the projector")

    worker = desk.worker(carry_out)
    worker.step()
    worker.step()
    assert (desk.request.state, desk.request.result) == (State.FAILED, "mend the projector")
    assert desk.events[-1].outcome is Outcome.SERIOUS_FAILURE
    assert desk.events[-1].outcome_reason == "mend the projector"


def test_a_defect_fails_without_its_text(desk: Desk) -> None:
    def carry_out(_: Attempt) -> str:
        raise RuntimeError("patient 17")

    desk.worker(carry_out).step()
    assert desk.request.state is State.FAILED
    assert "patient 17" not in str(desk.request.result)


def test_what_is_away_is_tried_again_and_given_up_in_the_end(desk: Desk) -> None:
    def carry_out(_: Attempt) -> str:
        raise UnavailableError("the broker is away")

    worker = desk.worker(carry_out)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(UnavailableError):
            worker.step()
        assert desk.request.state is State.REQUESTED
    assert worker.step()
    assert desk.request.state is State.FAILED
    assert desk.request.result == f"given up after {MAX_ATTEMPTS} attempts: the broker is away"
    assert sum(event.type == "operation.requested" for event in desk.events) == MAX_ATTEMPTS
    assert len({event.event_id for event in desk.events}) == 1  # the trail records them once


def test_a_part_that_may_not_write_to_kafka_says_so_and_does_nothing(desk: Desk) -> None:
    def unrecorded(attempt: Attempt) -> str:
        pytest.fail(f"request {attempt.request.id} was carried out without a record")

    desk.kafka_refuses = True
    worker = desk.worker(unrecorded)
    assert worker.step()
    assert not worker.step()
    assert desk.request.state is State.FAILED
    assert "give it Write on the topic" in str(desk.request.result)
    desk.kafka_refuses = False
    worker.step()
    assert [event.type for event in desk.events] == ["operation.completed"]
