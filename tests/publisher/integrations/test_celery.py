"""A Celery task acts for whoever has asked for it, and its failure is an event, with a real worker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from celery.contrib.testing.worker import start_worker

from audit_trail_publisher import Actor, ActorKind, Client, Outcome
from audit_trail_publisher.celery import HEADER, TaskAudit
from audit_trail_publisher.context import bound, current_context
from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.testing import CapturedTrail
from tests.waiting import eventually

trail = CapturedTrail("report-service")
app = Celery("clinic", broker="memory://", backend="cache+memory://")
app.conf.update(
    broker_transport_options={"polling_interval": 0.01},
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=False,
)

ADA = Actor(id="ada", name="Dr Ada", roles=("physician",))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@app.task  # type: ignore[untyped-decorator]
def report(patient: str) -> str:
    trail.record.read(patient=patient, resource=("Report", patient))
    return str(current_context().actor and current_context().actor.id)  # type: ignore[union-attr]


@app.task  # type: ignore[untyped-decorator]
def reports(patient: str) -> None:
    report.delay(patient)


@app.task  # type: ignore[untyped-decorator]
def broken(patient: str) -> None:
    raise LookupError(patient)


@app.task(bind=True, max_retries=1, default_retry_delay=0)  # type: ignore[untyped-decorator]
def shaky(self: Any) -> None:
    raise self.retry(exc=LookupError("patient 4711"))


def _leave_logging_alone(**_: object) -> None:
    pass


@pytest.fixture(scope="module")
def worker() -> Iterator[Any]:
    # Otherwise the worker sets the level of the root logger, for the tests after this one as well.
    signals.setup_logging.connect(_leave_logging_alone)
    TaskAudit(trail, record="all").install()
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=10) as worker:
        yield worker


@pytest.fixture(autouse=True)
def _clear(worker: Any) -> None:  # noqa: ARG001
    trail.clear()


def result_of(sent: Any, *, calls: int = 1) -> Any:
    """The result of a task, once `calls` tasks are recorded: a worker stores the result before it sends its signals."""
    try:
        return sent.get(timeout=10, interval=0.01)
    finally:
        eventually(lambda: len(trail.matching("api.called")) == calls)


def test_a_task_acts_for_whoever_has_sent_it() -> None:
    with bound(actor=ADA, session="s-1", correlation_id=TRACE, client=Client(address="203.0.113.9")):
        assert result_of(report.delay("17")) == "ada"
    record, call = trail.events
    for event in (record, call):
        assert (event.actor, event.session, event.correlation_id) == (ADA, "s-1", TRACE)
        assert event.client == Client(address="203.0.113.9")
    assert call.type == "api.called"
    assert call.request is not None
    assert (call.request.method, call.request.path) == ("TASK", f"{__name__}.report")


def test_a_task_hands_its_actor_on_and_the_next_one_does_not_inherit_it() -> None:
    with bound(actor=ADA):
        result_of(reports.delay("17"), calls=2)
    assert result_of(report.delay("18"), calls=3) == "report-service"
    assert [event.actor.id for event in trail.matching("record.read")] == ["ada", "report-service"]
    nobodys = trail.matching("record.read", patient="18")[0]
    assert nobodys.actor.kind is ActorKind.SERVICE
    assert nobodys.correlation_id


def test_a_failure_is_recorded_without_arguments_and_texts() -> None:
    with bound(actor=ADA):
        failed = broken.delay("patient 4711")
    with pytest.raises(LookupError):
        result_of(failed)
    event = trail.only("api.called")
    assert (event.actor, event.outcome, event.outcome_reason) == (ADA, Outcome.SERIOUS_FAILURE, "LookupError")
    assert "patient 4711" not in repr(event)


def test_a_retry_is_no_failure_and_keeps_the_actor() -> None:
    with bound(actor=ADA), pytest.raises(LookupError):
        result_of(shaky.delay())
    assert trail.only("api.called").actor == ADA


def test_a_header_that_is_not_valid_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "audit_trail_publisher"):
        sent = report.apply_async(("17",), headers={HEADER: {"actor": {"id": 17}}})
        assert result_of(sent) == "report-service"
    assert "not valid" in caplog.text


def test_a_record_that_does_not_exist_is_refused() -> None:
    wrong: Any = "failure"
    with pytest.raises(ConfigurationError, match="'failures' or 'all', not 'failure'"):
        TaskAudit(CapturedTrail(), record=wrong)


def test_a_task_that_is_run_at_once_acts_for_its_caller() -> None:
    with bound(actor=ADA, correlation_id=TRACE):
        assert report.apply(("17",)).get() == "ada"
        assert current_context().correlation_id == TRACE
    assert {event.actor for event in trail.events} == {ADA}
