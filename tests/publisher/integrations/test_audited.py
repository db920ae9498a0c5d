"""A decorated function is recorded at each call, with its outcome, and with no argument but those that are named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audit_trail_publisher import Actor, Outcome, Publisher
from audit_trail_publisher.audited import UNKNOWN_ID, Call, audited
from audit_trail_publisher.context import bound
from audit_trail_publisher.errors import SpoolFullError
from audit_trail_publisher.testing import CapturedTrail

trail = CapturedTrail("patient-service")


@audited(trail, "record.read", patient="patient_id", resource=("Observation", "id"))
def read(patient_id: str, id: int, secret: str = "") -> str:
    match secret:
        case "denied":
            raise PermissionError(patient_id)
        case "defect":
            raise LookupError(patient_id)
    return f"{patient_id}/{id}"


@audited(trail, "record.read", patient="patient_id", resource=("Observation", "id"))
async def read_async(patient_id: str, id: int, secret: str = "") -> str:
    await asyncio.sleep(0)
    return read.__wrapped__(patient_id, id, secret)  # type: ignore[attr-defined, no-any-return]


def run_async(*args: Any, **kwargs: Any) -> str:
    return asyncio.run(read_async(*args, **kwargs))


BOTH = pytest.mark.parametrize("call", [read, run_async], ids=["def", "async def"])


@pytest.fixture(autouse=True)
def _actor() -> Iterator[None]:
    trail.clear()
    with bound(actor=Actor(id="ada")):
        yield


@BOTH
def test_a_call_is_recorded_with_what_is_named_and_nothing_else(call: Callable[..., str]) -> None:
    assert call("17", id=4, secret="HIV") == "17/4"
    event = trail.only("record.read", patient="17", resource=("Observation", "4"))
    assert (event.actor.id, event.outcome) == ("ada", Outcome.SUCCESS)
    assert "HIV" not in repr(event)


@BOTH
@pytest.mark.parametrize(
    ("secret", "exception", "type", "outcome"),
    [
        ("denied", PermissionError, "access.denied", Outcome.MINOR_FAILURE),
        ("defect", LookupError, "record.read", Outcome.SERIOUS_FAILURE),
    ],
)
def test_a_call_that_raises_is_recorded_and_its_exception_goes_on(
    call: Callable[..., str], secret: str, exception: type[Exception], type: str, outcome: Outcome
) -> None:
    with pytest.raises(exception):
        call("17", 4, secret)
    event = trail.only(type, patient="17", resource=("Observation", "4"))
    assert (event.outcome, event.outcome_reason) == (outcome, exception.__name__)


@BOTH
def test_a_call_with_wrong_arguments_is_no_call(call: Callable[..., str]) -> None:
    with pytest.raises(TypeError, match="missing"):
        call("17")
    assert trail.events == []


def test_references_reach_attributes_results_and_functions() -> None:
    @audited(
        trail, "record.created", patient="order.patient_id", resource=("Order", "result.id"), reason="ordered"
    )
    def place(order: Any, fails: bool = False) -> Any:
        if fails:
            raise LookupError
        return SimpleNamespace(id=order.number)

    @audited(trail, "record.searched", patient=lambda call: [each.patient_id for each in call.result or ()])
    def search(orders: list[Any]) -> list[Any]:
        return orders

    def versioned(call: Call) -> Any:
        return [("Order", str(each.number)) for each in call.arguments["orders"]]

    @audited(trail, "record.exported", resource=versioned)
    def export(*orders: Any) -> None: ...

    order = SimpleNamespace(patient_id="17", number=7)
    place(order)
    with pytest.raises(LookupError):
        place(order, fails=True)
    search([order, SimpleNamespace(patient_id="18", number=8)])
    export(order)
    assert [
        (event.type, [each.id for each in event.patients], [each.id for each in event.resources])
        for event in trail.events
    ] == [
        ("record.created", ["17"], ["7"]),
        ("record.created", ["17"], [UNKNOWN_ID]),
        ("record.searched", ["17", "18"], []),
        ("record.exported", [], ["7"]),
    ]
    assert trail.events[0].reason == "ordered"


@pytest.mark.parametrize(
    ("type", "options", "message"),
    [
        ("record.seen", {}, "record.seen"),
        ("record.read", {"pateint": "id"}, "no field pateint"),
        ("record.read", {"patient": "patient"}, "no parameter patient"),
        ("record.read", {"resource": ("Page", "page.id")}, "no parameter page"),
    ],
)
def test_what_could_never_be_recorded_is_refused_at_once(type: str, options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        audited(trail, type, **options)(lambda patient_id: patient_id)


def test_a_generator_is_refused() -> None:
    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        audited(trail, "record.searched")(rows)


def test_a_result_whose_event_can_not_be_kept_is_withheld(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(
        Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path, max_spool_bytes=1)
    ) as full:

        @audited(lambda: full, "record.read", patient="id", resource=("Patient", "id"))
        def work(id: str, fails: bool = False) -> str:
            if fails:
                raise LookupError
            return id

        with pytest.raises(SpoolFullError):
            work("17")
        with pytest.raises(LookupError):
            work("17", fails=True)
    assert "could not be recorded: SpoolFullError" in caplog.text
