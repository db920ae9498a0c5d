"""Receivers over HTTP: what is sent, what each answer means, and that only a confirmation counts."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest

from audit_trail.embedded.broker import LOOPBACK, free_ports
from domain.errors import ConfigurationError, ThrottledError, UnavailableError
from forwarding.errors import ReceiverRefusesError, RecordsRefusedError
from forwarding.receivers.otlp import OtlpLogs, any_value
from forwarding.receivers.receiver import Receiver
from forwarding.receivers.splunk import HttpEventCollector
from forwarding.receivers.webhook import SignedWebhook, signed_headers
from forwarding.settings import Otlp, Splunk, Webhook
from tests.foreign_server import answer, foreign, tls_of_127_0_0_1
from tests.forwarding.network import network
from tests.forwarding.records import a_record
from tests.forwarding.running import DECIDED, forwarding, made
from tests.installed import installed
from tests.trail import Trail, an_event
from tests.waiting import eventually

KEY = secrets.token_bytes(32)
TOKEN = "b0b5ec2e-5a8e-4a4b-9a0e-2f0d8a5d7a11"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return written(tmp_path / "secret", f"whsec_{base64.b64encode(KEY).decode()}\n")


def written(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return str(file)


def webhook(port: int, secret: str, **fields: Any) -> SignedWebhook:
    url = f"http://{LOOPBACK}:{port}/hook?room=7"
    return SignedWebhook(Webhook(url=url, secret_file=secret, **fields), "followers.w.webhook")


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's own libraries.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_gets_records_that_it_can_verify(secret: str, tmp_path: Path) -> None:
    older = secrets.token_bytes(24)
    previous = written(tmp_path / "previous", base64.b64encode(older).decode())
    bearer = written(tmp_path / "authorization", "Bearer abc\n")
    records = [a_record(7, 5), a_record(9, 7)]
    with foreign(lambda _: iter([answer(204)])) as server:
        receiver = webhook(server.port, secret, previous_secret_file=previous, authorization_file=bearer)
        for _ in range(2):
            assert receiver.send([receiver.encode(each) for each in records]) == "it answered 204"
    parsed = [_request(each) for each in server.requests]
    for path, headers, body in parsed:
        assert path == "/hook?room=7"
        assert headers["authorization"] == "Bearer abc"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in (KEY, older)]
        assert headers["webhook-signature"].split() == [f"v1,{each}" for each in expected]
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        content = json.loads(body)
        assert content["type"] == "audit_trail.records"
        assert [each["position"] for each in content["data"]] == [7, 9]
        assert [each["previous_position"] for each in content["data"]] == [5, 7]
        assert content["data"][0]["event"]["type"] == "record.read"
    assert len({headers["webhook-id"] for _, headers, _ in parsed}) == 1  # the same records, the same id


def _request(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first.split(" ")[1], headers, body


def test_a_request_with_the_same_records_has_the_same_id_though_the_log_has_grown(secret: str) -> None:
    record = a_record()
    later = record._replace(leaf=record.leaf._replace(tree_head_size=99))
    another = record._replace(follower="another")
    with foreign(lambda _: iter([answer(204)])) as server:
        receiver = webhook(server.port, secret)
        for records in ([record], [later], [another], [record, a_record(9, 7)]):
            receiver.send([receiver.encode(each) for each in records])
        ids = [_request(each)[1]["webhook-id"] for each in server.requests]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RecordsRefusedError), (413, RecordsRefusedError), (422, RecordsRefusedError),
        (408, UnavailableError), (429, UnavailableError), (500, UnavailableError), (503, UnavailableError),
        (301, ReceiverRefusesError), (401, ReceiverRefusesError), (403, ReceiverRefusesError),
        (404, ReceiverRefusesError), (410, ReceiverRefusesError),
    ],
)  # fmt: skip
def test_each_status_means_one_record_or_this_client_or_later(
    secret: str, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    token = written(tmp_path / "token", TOKEN)
    with foreign(lambda _: iter([answer(status, b'{"patient": "P-Example"}')])) as server:
        url = f"http://{LOOPBACK}:{server.port}"
        receivers: list[Receiver] = [
            webhook(server.port, secret),
            OtlpLogs(Otlp(url=f"{url}/v1/logs"), "o"),
            HttpEventCollector(Splunk(url=url, token_file=token), "s"),
        ]
        for receiver in receivers:
            with pytest.raises(error) as caught:
                receiver.send([receiver.encode(a_record())])
            assert "P-Example" not in str(caught.value)  # what it answers may quote a record


def test_a_receiver_that_asks_to_wait_is_asked_again_then(secret: str) -> None:
    with foreign(lambda _: iter([answer(503, b"", "Retry-After: 7")])) as server:
        receiver = webhook(server.port, secret)
        with pytest.raises(ThrottledError) as caught:
            receiver.send([receiver.encode(a_record())])
    assert caught.value.seconds == 7


def test_https_trusts_the_given_authority_and_the_name_in_the_address(secret: str, tmp_path: Path) -> None:
    tls, trusted = tls_of_127_0_0_1(tmp_path)
    with foreign(lambda _: iter([answer(200)]), tls=tls) as server:
        for host, ca, well in (
            (LOOPBACK, str(trusted), True),
            (LOOPBACK, None, False),
            ("localhost", str(trusted), False),
        ):
            settings = Webhook(url=f"https://{host}:{server.port}/", secret_file=secret, ca_file=ca)
            receiver = SignedWebhook(settings, "followers.w.webhook")
            if well:
                assert receiver.send([receiver.encode(a_record())]) == "it answered 200"
            else:
                with pytest.raises(UnavailableError, match="no valid TLS certificate"):
                    receiver.send([receiver.encode(a_record())])


@pytest.mark.parametrize(
    "text", ["short", "whsec_!!!", base64.b64encode(b"x" * 65).decode(), "two\nlines", ""]
)
def test_a_key_that_protects_nothing_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"followers\.w\.webhook\.secret_file"):
        webhook(1, written(tmp_path / "secret", text))


def test_a_refused_record_is_found_among_many(new_trail: Trail, secret: str, tmp_path: Path) -> None:
    events = [an_event() for _ in range(20)]
    poison = str(events[13].event_id).encode()
    new_trail.append(*events)
    with foreign(lambda request: iter([answer(422 if poison in request else 200)])) as server:
        text = (
            f'[followers.w]\n{DECIDED}start = "beginning"\nroles = ["auditor"]\n'
            f'[followers.w.webhook]\nurl = "http://{LOOPBACK}:{server.port}/"\nsecret_file = "{secret}"\n'
        )
        with forwarding(new_trail.url, made(tmp_path, text)) as running:
            eventually(lambda: running.follower("w").failed_position == 13)
            state = running.follower("w")
            assert (state.position, state.sent) == (12, 13)
            assert "refuses the record (status 422)" in state.problem


class Collector(BaseHTTPRequestHandler):
    """The HTTP Event Collector, as Splunk documents it: tokens, channels, acknowledgements, codes."""

    events: list[dict[str, Any]]
    indexed: set[int]
    requests: int
    loses: set[int]
    acknowledges = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Splunk {TOKEN}":
            self._say(403, {"text": "Invalid token", "code": 4})
        elif self.path.startswith("/services/collector/ack"):
            assert self.path.partition("channel=")[2] == self.headers["X-Splunk-Request-Channel"]
            asked = json.loads(body)["acks"]
            self._say(200, {"acks": {str(id): id in type(self).indexed for id in asked}})
        else:
            self._take(body.decode())

    def _take(self, text: str) -> None:
        decoder, at, found = json.JSONDecoder(), 0, []
        while at < len(text):
            event, at = decoder.raw_decode(text, at)
            found.append(event)
        if any(each.get("index") == "unknown" for each in found):
            self._say(400, {"text": "Incorrect index", "code": 7, "invalid-event-number": 0})
            return
        kind = type(self)
        id = kind.requests
        kind.requests += 1
        if id not in kind.loses:
            kind.events += found
            kind.indexed.add(id)
        self._say(200, {"text": "Success", "code": 0} | ({"ackId": id} if kind.acknowledges else {}))

    def _say(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collector() -> Iterator[tuple[str, type[Collector]]]:
    """The base of its URL, and what it has."""
    kind = type("OneCollector", (Collector,), {"events": [], "indexed": set(), "requests": 0, "loses": set()})
    with ThreadingHTTPServer((LOOPBACK, 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}", kind
        finally:
            server.shutdown()
            thread.join()


def splunk(url: str, folder: Path, token: str = TOKEN, **fields: Any) -> HttpEventCollector:
    file = written(folder / "token", token)
    return HttpEventCollector(Splunk(url=url, token_file=file, **fields), "followers.s.splunk")


def test_splunk_gets_events_with_their_place_and_time(tmp_path: Path) -> None:
    with collector() as (url, kind):
        receiver = splunk(url, tmp_path, index="audit")
        receiver.send([receiver.encode(a_record(7, 5)), receiver.encode(a_record(9, 7))])
        first = kind.events[0]
        assert (first["time"], first["index"], first["sourcetype"]) == (1772438400.0, "audit", "_json")
        assert first["event"]["event"]["type"] == "record.read"
        assert [each["fields"]["audit_trail_position"] for each in kind.events] == [7, 9]
        assert first["fields"]["audit_trail_previous_position"] == 5
        text = splunk(url, tmp_path, body="cef")
        text.send([text.encode(a_record())])
        assert kind.events[-1]["event"].startswith("CEF:0|")


def test_splunk_confirms_when_it_has_indexed_and_what_it_loses_comes_again(tmp_path: Path) -> None:
    with collector() as (url, kind):
        kind.loses = {0}
        receiver = splunk(url, tmp_path, acknowledge=True, acknowledge_seconds=1.0)
        record = receiver.encode(a_record())
        with pytest.raises(UnavailableError, match="did not acknowledge within 1 s"):
            receiver.send([record])
        assert kind.events == []
        assert "it has indexed everything" in receiver.send([record])
        assert len(kind.events) == 1
        kind.acknowledges = False
        with pytest.raises(ReceiverRefusesError, match="enable indexer acknowledgement"):
            receiver.send([record])


def test_what_splunk_says_of_the_token_or_the_index_is_no_fault_of_a_record(tmp_path: Path) -> None:
    with collector() as (url, _):
        for receiver, says in (
            (splunk(url, tmp_path, token="another"), r"the token is invalid \(code 4\)"),
            (splunk(url, tmp_path, index="unknown"), r"the index is unknown"),
        ):
            with pytest.raises(ReceiverRefusesError, match=says):
                receiver.send([receiver.encode(a_record())])


def test_a_code_that_splunk_lacks_is_not_quoted(tmp_path: Path) -> None:
    token = written(tmp_path / "token", TOKEN)
    for code in ('"P-Example"', "1e9", "-1", "77777", "true", "null"):
        said = f'{{"text": "x", "code": {code}}}'.encode()
        with foreign(lambda _, said=said: iter([answer(400, said)])) as server:  # type: ignore[misc]
            receiver = HttpEventCollector(
                Splunk(url=f"http://{LOOPBACK}:{server.port}", token_file=token), "s"
            )
            with pytest.raises((RecordsRefusedError, ReceiverRefusesError)) as caught:
                receiver.send([receiver.encode(a_record())])
            assert code.strip('"') not in str(caught.value)


def test_a_value_of_any_kind_is_an_any_value() -> None:
    assert any_value([None, True, 2**62, 2**70, 1.5, "x", {"a": ()}])["arrayValue"]["values"] == [
        {},
        {"boolValue": True},
        {"intValue": str(2**62)},
        {"stringValue": str(2**70)},
        {"doubleValue": 1.5},
        {"stringValue": "x"},
        {"kvlistValue": {"values": [{"key": "a", "value": {"arrayValue": {"values": []}}}]}},
    ]


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (b'{"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "17"}}', True),
        (b'{"partialSuccess": {"errorMessage": "a warning"}}', False),
        (b"{}", False),
        (b"", False),
        (b"no json", False),
        (b'{"partialSuccess": {"rejectedLogRecords": 1e308}}', True),
        (b'{"partialSuccess": {"rejectedLogRecords": 1e999}}', False),
        (b"[" * 60_000, False),
    ],
)
def test_a_collector_that_rejects_a_record_has_not_confirmed_it(said: bytes, *, refused: bool) -> None:
    with foreign(lambda _: iter([answer(200, said)])) as server:
        receiver = OtlpLogs(Otlp(url=f"http://{LOOPBACK}:{server.port}/v1/logs"), "o")
        send: Callable[[], str] = lambda: receiver.send([receiver.encode(a_record())])  # noqa: E731
        if refused:
            with pytest.raises(RecordsRefusedError, match=r"rejects \d+ of 1 records"):
                send()
        else:
            assert send() == "it answered 200"


def test_an_answer_that_breaks_off_at_any_byte_confirms_nothing() -> None:
    whole = answer(200, b'{"partialSuccess":{"rejectedLogRecords":"1"}}')
    cut = iter(range(len(whole)))
    with foreign(lambda _: iter([whole[: next(cut)]])) as server:
        receiver = OtlpLogs(Otlp(url=f"http://{LOOPBACK}:{server.port}/v1/logs"), "o")
        for _ in whole:
            with pytest.raises(UnavailableError):
                receiver.send([receiver.encode(a_record())])


@contextmanager
def otelcol(folder: Path, port: int, file: Path) -> Iterator[None]:
    """The collector of OpenTelemetry, which appends what it gets to a file."""
    config = folder / "otelcol.yaml"
    config.write_text(
        f'receivers: {{otlp: {{protocols: {{http: {{endpoint: "{LOOPBACK}:{port}"}}}}}}}}\n'
        f'exporters: {{file: {{path: "{file}", append: true}}}}\n'
        "service:\n  telemetry: {metrics: {level: none}}\n"
        "  pipelines: {logs: {receivers: [otlp], exporters: [file]}}\n",
        encoding="utf-8",
    )
    with (folder / "otelcol.log").open("ab") as log:
        process = subprocess.Popen([installed("otelcol") or "", "--config", config], stdout=log, stderr=log)
    try:
        eventually(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, (folder / "otelcol.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    try:
        create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.needs_program("otelcol")
def test_a_foreign_collector_has_every_log_record_when_the_network_is_back(
    new_trail: Trail, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    file = tmp_path / "logs.json"
    changes = [
        {"path": "weight", "before": 80.5, "after": None},
        {"path": "tags", "before": [1], "after": {"a": True}},
    ]
    with network(port) as between:
        between.cuts = [0, 200, 100_000]
        text = (
            f'[followers.o]\n{DECIDED}start = "beginning"\nroles = ["auditor"]\n'
            f'[followers.o.otlp]\nurl = "http://{LOOPBACK}:{between.port}/v1/logs"\n'
        )
        with forwarding(new_trail.url, made(tmp_path, text)) as running:
            new_trail.append(*(an_event() for _ in range(700)))
            eventually(lambda: between.connections > 1)  # nothing listens yet
            with otelcol(tmp_path, port, file):
                running.arrives("o", 699)
            new_trail.append(
                an_event(
                    "user.login_failed", outcome="minor_failure", correlation_id="ab" * 16, changes=changes
                )
            )
            with otelcol(tmp_path, port, file):
                running.arrives("o", 700)
    found = [record for line in file.read_text().splitlines() for record in _log_records(json.loads(line))]
    by_position = {_attribute(each, "audit_trail.position"): each for each in found}
    assert list(by_position) == [str(at) for at in range(701)]
    last = by_position["700"]
    assert (last["severityText"], last["traceId"]) == ("WARN", "ab" * 16)
    assert last["eventName"] == "audit_trail.user.login_failed"
    assert _attribute(last, "audit_trail.previous_position") == "699"
    body = {each["key"]: each["value"] for each in last["body"]["kvlistValue"]["values"]}
    assert body["type"] == {"stringValue": "user.login_failed"}


def _log_records(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        record
        for resource in request["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]


def _attribute(record: dict[str, Any], name: str) -> Any:
    [value] = [each["value"] for each in record["attributes"] if each["key"] == name]
    return next(iter(value.values()))
