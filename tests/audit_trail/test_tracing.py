"""Traces follow a request from HTTP to the visible row, with no patient's data; without a collector there are none."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from audit_trail.embedded.broker import Broker
from audit_trail.runtime import open_telemetry
from audit_trail.runtime.open_telemetry import OpenTelemetry
from event_store.database import INGEST, PROJECTOR, READER, Database
from event_store.log_reader import LogReader
from event_store.tracing import OFF, Kind, TraceContext, Tracer, of_headers, parse, within
from ingest.pipeline import Ingest
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from projections.registry import built_in
from projections.runner import Runner
from queries.read_models import ReadModels
from tests.audit_trail.collector import Collector, collecting
from tests.foreign_server import for_ever, foreign
from tests.signing import signer
from tests.tokens import authentication
from tests.waiting import eventually
from tests.web.conftest import serving
from web.app import create_app
from web.probes import StoreProbes
from web.settings import WebSettings

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"
SECRETS = ("4711", "dr-smith", "ward round")


def event(patient: str = "4711") -> dict[str, object]:
    return {
        "event_id": str(uuid4()),
        "type": "record.read",
        "occurred_at": "2026-03-02T08:00:00Z",
        "source": {"service": "patient-service"},
        "actor": {"id": "dr-smith"},
        "patients": [{"id": patient}],
        "resources": [{"type": "Patient", "id": patient}],
        "reason": "ward round",
    }


@contextmanager
def traced(collector: Collector, part: str) -> Iterator[OpenTelemetry]:
    tracer = OpenTelemetry(collector.url, f"audit-trail-{part}", 1.0)
    try:
        yield tracer
    finally:
        tracer.close()


@contextmanager
def in_thread(part: Ingest | Runner) -> Iterator[None]:
    thread = threading.Thread(target=part.run)
    thread.start()
    try:
        yield
    finally:
        part.stop()
        thread.join()


def test_a_request_is_followed_to_the_visible_row(migrated_url: str, broker: Broker, topic: str) -> None:
    settings = IngestSettings(
        bootstrap_servers=(broker.bootstrap_servers,),
        topics=(topic,),
        group_id="audit",
        assignment="static",
    )
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        serve, ingest, project = (
            stack.enter_context(traced(collector, part)) for part in ("serve", "ingest", "project")
        )
        reader = stack.enter_context(closing(Database(migrated_url, READER, size=2)))
        publisher = stack.enter_context(closing(Publisher(settings)))
        app = create_app(
            ReadModels(reader),
            LogReader(reader),
            publisher,
            StoreProbes(reader),
            WebSettings(topic=topic),
            authentication=authentication(),
            tracer=serve,
        )
        client = stack.enter_context(serving(app))
        projector = stack.enter_context(closing(Database(migrated_url, PROJECTOR)))
        store = stack.enter_context(closing(Database(migrated_url, INGEST)))
        stack.enter_context(in_thread(Runner(projector, built_in(), tracer=project)))
        running = Ingest(settings, store, signer(), registry=CollectorRegistry(), tracer=ingest)
        stack.enter_context(in_thread(running))
        publisher.publish(
            [Message(topic, None, b"no event", [("traceparent", OTHER.encode())]) for _ in range(2)]
        )
        eventually(lambda: running.counters.received == 2)
        answer = client.post("/v1/events", json=[event()], headers={"traceparent": TRACEPARENT})
        assert answer.status_code == 202
        eventually(
            lambda: bool(client.get("/v1/events", params={"patient": "4711", "first": 1}).json()["events"])
        )
        patient = client.get("/v1/patients/4711")

    request = collector.named("POST /v1/events")
    assert (request.service, request.kind) == ("audit-trail-serve", "server")
    assert (request.trace, request.parent) == (TRACE, SPAN)
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/events",
        "http.response.status_code": 202,
    }
    batches = [span for span in collector.spans if span.name == f"process {topic}"]
    [batch] = [span for span in batches if (request.trace, request.id) in span.links]
    assert (batch.service, batch.kind, batch.parent) == ("audit-trail-ingest", "consumer", "")
    assert batch.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "audit",
        "messaging.batch.message_count": 1,
        "messaging.destination.name": topic,
    }
    parts = {span.name: span for span in collector.spans if span.parent == batch.id}
    assert set(parts) == {"decode", "append"}
    assert parts["append"].attributes == {
        "audit_trail.events": 1,
        "audit_trail.dead_letters": 0,
        "audit_trail.position.first": 0,
        "audit_trail.position.next": 1,
    }
    [projection] = [span for span in collector.spans if (batch.trace, parts["append"].id) in span.links]
    assert (projection.service, projection.name, projection.parent) == ("audit-trail-project", "project", "")
    applied = {span.name for span in collector.spans if span.parent == projection.id}
    assert applied == {f"apply {each.name}" for each in built_in()}
    assert all(
        span.attributes["audit_trail.position.next"] == 1
        for span in collector.spans
        if span.parent == projection.id
    )
    assert {link for span in batches for link in span.links} >= {(OTHER[3:35], OTHER[36:52])}
    assert collector.paths == {"/v1/traces"}
    assert patient.status_code == 200
    assert [span.name for span in collector.spans if "/v1/patients" in span.name] == ["GET /v1/patients/{id}"]
    assert not any(span.failed for span in collector.spans)
    assert [secret for secret in SECRETS if secret.encode() in collector.data] == []


def test_a_failure_is_told_by_its_type_alone() -> None:
    with collecting() as collector:
        with (
            traced(collector, "ingest") as tracer,
            pytest.raises(ValueError, match="4711"),
            within(tracer.start("append", attributes={"n": 1})),
        ):
            raise ValueError("patient 4711")
        with traced(collector, "serve") as tracer:
            span = tracer.start("GET", Kind.SERVER)
            span.end("503")
            span.end()
    append, get = collector.spans
    assert (append.failed, append.attributes) == (True, {"n": 1, "error.type": "ValueError"})
    assert (get.failed, get.attributes) == (True, {"error.type": "503"})
    assert b"4711" not in collector.data


def test_the_share_of_traces_is_that_of_the_setting_and_a_sampled_one_goes_on() -> None:
    with collecting() as collector:
        tracer = OpenTelemetry(collector.url, "audit-trail-serve", 0.0)
        tracer.start("dropped").end()
        tracer.start("continued", parent=parse(TRACEPARENT)).end()
        tracer.start("declined", parent=parse(TRACEPARENT[:-1] + "0")).end()
        tracer.close()
    assert [span.name for span in collector.spans] == ["continued"]


def test_a_collector_that_is_away_holds_up_nothing_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(open_telemetry, "_END_SECONDS", 0.3)
    monkeypatch.setattr(open_telemetry, "_EXPORT_SECONDS", 0.1)
    monkeypatch.setattr(open_telemetry._quiet, "_next", 0.0)
    tracer = OpenTelemetry("http://127.0.0.1:1/v1/traces?token=secret", "audit-trail-serve", 1.0)
    for _ in range(3):
        tracer.start("append").end()
        tracer._provider.force_flush(50)
    tracer.close()
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "spans_not_sent" in line]
    assert len(lines) == 1
    assert "secret" not in said.out + said.err


def test_a_collector_that_answers_without_end_is_not_listened_to() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with foreign(lambda _: for_ever(b"x" * 65536, head)) as server:
        tracer = OpenTelemetry(f"http://127.0.0.1:{server.port}", "audit-trail-serve", 1.0)
        tracer.start("append").end()
        begin = time.monotonic()
        assert tracer._provider.force_flush(20_000)
        assert time.monotonic() - begin < 5
        tracer.close()
    assert len(server.requests) == 1


def test_a_state_of_a_client_that_is_not_valid_is_no_line_about_the_collector(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(open_telemetry._quiet, "_next", 0.0)
    with collecting() as collector, traced(collector, "serve") as tracer:
        tracer.start("continued", parent=parse(TRACEPARENT, "not valid,,=")).end()
    assert [span.name for span in collector.spans] == ["continued"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (TRACEPARENT, TRACEPARENT),
        (f"01-{TRACE}-{SPAN}-01-more", TRACEPARENT),
        (f"cc-{TRACE}-{SPAN}-01", TRACEPARENT),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"cc-{TRACE}-{SPAN}-01.more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (TRACEPARENT.upper(), None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
        ("x" * 100_000, None),
    ],
)
def test_a_trace_context_is_read_as_w3c_has_it(given: str, found: str | None) -> None:
    context = parse(given)
    assert (context and context.traceparent) == found


def test_the_header_of_the_record_goes_before_that_of_its_cloudevent() -> None:
    both: list[tuple[str, bytes | None]] = [
        ("ce_traceparent", OTHER.encode()),
        ("Traceparent", TRACEPARENT.encode()),
    ]
    assert of_headers(both) == TraceContext(TRACEPARENT)
    assert of_headers([*both[:1], ("ce_tracestate", b"a=b")]) == TraceContext(OTHER, "a=b")
    assert of_headers([("traceparent", None), ("tracestate", b"\xff"), ("x", b"y")]) is None
    assert parse(TRACEPARENT, "a=b\n") == TraceContext(TRACEPARENT)


PROCESS = """
import asyncio, sys
from audit_trail.runtime.tracing import tracing
from audit_trail.settings import Settings
from domain.errors import ConfigurationError
import audit_trail.commands.parts, ingest.pipeline, projections.runner

with tracing(Settings(), "ingest") as tracer:
    print(tracer.on, [name for name in sys.modules if name.startswith("opentelemetry")])

sys.modules["opentelemetry.sdk"] = None
try:
    with tracing(Settings(tracing_endpoint="http://127.0.0.1:1"), "ingest"):
        pass
except ConfigurationError as exc:
    print(exc)
del sys.modules["opentelemetry.sdk"]

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from queries.read_models import ReadModels
from web.app import create_app
from web.probes import StoreProbes

kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
database = Database("postgresql://localhost:1/none", READER)
app = create_app(ReadModels(database), LogReader(database), None, StoreProbes(database))
statuses = []

async def main():
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "GET", "path": "/v1/patients/4711", "raw_path": b"/", "headers": [],
             "query_string": b"name=secret", "scheme": "http", "server": ("h", 80), "http_version": "1.1"}
    await app(scope, receive, send)

asyncio.run(main())
print(statuses, kept.get_finished_spans())
"""


def test_nothing_is_loaded_while_it_is_off_and_fastapi_keeps_no_spans_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "False []",
        "AUDIT_TRAIL_TRACING_ENDPOINT is set, and OpenTelemetry is not installed: install audit-trail[tracing]",
        "[401] ()",
    ], done.stderr


def test_a_tracer_that_is_off_gives_no_context() -> None:
    tracer: Tracer = OFF
    with within(tracer.start("append", links=[TraceContext(OTHER)])) as span:
        span.rename("x")
        span.set({"a": 1})
        assert span.context is None
