"""The checks, each against a real server: what is good, and the class of what is not."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from audit_trail.embedded.broker import Broker
from ingest.broker.reachability import reach_topics
from tests.foreign_server import answer, for_ever, foreign, tls_of_127_0_0_1
from watcher.examination import Examiner
from watcher.observations import ErrorClass, Finding
from watcher.target_file import parse_targets

SECRET = "s3cret-token"


def examine(check: str, own_url: str = "", servers: str = "", timeout: str = "5s") -> Finding:
    """What a check finds, written as in the file."""

    def reach(given: Any, options: Any, topics: Any, seconds: float) -> dict[str, str]:
        return reach_topics({"bootstrap_servers": list(given) or [servers], **options}, topics, seconds)

    text = f"targets: [{{name: x, timeout: {timeout}, {check}}}]"
    [target] = parse_targets(text, "watch.yaml").targets
    return Examiner(own_url, reach)(target)


def error_of(found: Finding) -> str:
    return "ok" if found.error is None else found.error.kind.value


@pytest.mark.parametrize(
    ("status", "body", "check", "expected"),
    [
        (200, b"", "", "ok"),
        (503, b"", "", "unexpected_status"),
        (204, b"", ", status: 2xx", "ok"),
        (302, b"", ", status: 2xx", "unexpected_status"),
        (401, b"", ", status: [401, 403]", "ok"),
        (200, b"all is well", ", body: {contains: is well}", "ok"),
        (200, b"all is bad", ", body: {contains: is well}", "unexpected_body"),
        (200, b'{"a": {"b/c": [1, "up"]}}', ", body: {pointer: /a/b~1c/1, equals: up}", "ok"),
        (200, b'{"a": {"b/c": [1, "up"]}}', ", body: {pointer: /a/b~1c/2, equals: up}", "unexpected_body"),
        (200, b'{"ok": true}', ", body: {pointer: /ok, equals: true}", "ok"),
        (200, b'{"ok": 1}', ", body: {pointer: /ok, equals: true}", "unexpected_body"),
        (200, b'{"ok": null}', ", body: {pointer: /ok, equals: null}", "ok"),
        (200, b"up", ", body: {pointer: /ok, equals: up}", "unexpected_body"),
        (200, b"[" * 100_000, ", body: {pointer: /ok, equals: up}", "unexpected_body"),
        (200, b"x" * 300_000, ", body: {pointer: /ok, equals: up}", "unexpected_body"),
    ],
)
def test_http_looks_at_status_and_body(status: int, body: bytes, check: str, expected: str) -> None:
    with foreign(lambda _: iter([answer(status, body)])) as server:
        found = examine(f"http: {{url: 'http://127.0.0.1:{server.port}/'{check}}}")
    assert error_of(found) == expected
    # An answer can be about patients: nothing of it is repeated.
    assert found.error is None or not any(text in found.error.reason for text in ("bad", "b/c", "[["))


def test_http_that_hangs_lies_or_is_not_there_has_a_class_and_no_answer_in_the_reason() -> None:
    with foreign(lambda _: for_ever(b""), pause=0.05) as server:
        assert (
            error_of(examine(f"http: {{url: 'http://127.0.0.1:{server.port}/'}}", timeout="300ms"))
            == "timeout"
        )
    with foreign(lambda _: iter([b"this is not HTTP\r\n\r\n"])) as server:
        assert error_of(examine(f"http: {{url: 'http://127.0.0.1:{server.port}/'}}")) == "not_http"
    assert error_of(examine("http: {url: 'http://127.0.0.1:1/'}")) == "connection_refused"
    assert error_of(examine("http: {url: 'http://no-such-host.invalid/'}")) == "name_not_resolved"


def test_a_token_is_sent_and_shown_nowhere(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET + "\n", encoding="utf-8")
    with foreign(lambda _: iter([answer(401, SECRET.encode())])) as server:
        check = f"http: {{url: 'http://127.0.0.1:{server.port}/', token: {{file: {token}}}}}"
        found = examine(check)
        assert f"authorization: bearer {SECRET}" in server.requests[0].decode().lower()
        assert SECRET not in repr(found)
        [target] = parse_targets(f"targets: [{{name: x, {check}}}]", "watch.yaml").targets
    token.unlink()
    found = Examiner("", reach_topics)(target)  # type: ignore[arg-type]
    assert error_of(found) == "secret_unreadable"


@pytest.mark.parametrize(
    ("restart", "body", "header", "told"),
    [
        ("pointer: /since", b'{"since": "2026-03-01T08:00:00Z"}', "", "2026-03-01T08:00:00Z"),
        ("pointer: /since", b'{"since": 1772352000}', "", "1772352000"),
        ("pointer: /since", b"not JSON", "", None),
        ("header: x-boot", b"", "X-Boot: 7f", "7f"),
        ("header: x-boot", b"", "", None),
        ("metric: start_seconds", b"# HELP\nstart_seconds 1.772352e+09\n", "", "1772352000.0"),
        ("metric: start_seconds", b"start_seconds{a=\"b\"} 1\n", "", None),
        ("metric: start_seconds", b"start_seconds 17.5", "", "17.5"),
        ("metric: start_seconds", b"start_seconds \n5\n", "", None),
    ],
)  # fmt: skip
def test_a_start_time_or_boot_id_is_read_where_the_file_says(
    restart: str, body: bytes, header: str, told: str | None
) -> None:
    with foreign(lambda _: iter([answer(200, body, *filter(None, [header]))])) as server:
        url = f"http://127.0.0.1:{server.port}/"
        for more in ("", f", url: '{url}metrics'"):
            found = examine(f"http: {{url: '{url}', restart: {{{restart}{more}}}}}")
            assert (error_of(found), found.incarnation) == ("ok", told)


def test_another_server_that_tells_the_start_time_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", SECRET)
    with (
        foreign(lambda _: iter([answer(200)])) as own,
        foreign(lambda _: iter([answer(200, b"start_seconds 1\n")])) as other,
    ):
        restart = f"{{metric: start_seconds, url: 'http://127.0.0.1:{other.port}/metrics'}}"
        url = f"http://127.0.0.1:{own.port}/"
        found = examine(f"http: {{url: '{url}', token: {{env: TOKEN_OF_TEST}}, restart: {restart}}}")
        assert found.incarnation == "1.0"
        assert SECRET.encode() in own.requests[0]
        assert SECRET.encode() not in other.requests[0]


def test_a_token_that_no_header_can_hold_is_not_blamed_on_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "s\N{EURO SIGN}cret")
    found = examine("http: {url: 'http://127.0.0.1:1/', token: {env: TOKEN_OF_TEST}}")
    assert error_of(found) == "secret_unreadable"
    assert "cret" not in repr(found).replace("secret", "")


def test_a_server_without_tls_is_no_server_with_a_bad_certificate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with closing(connection):
                connection.sendall(b"220 mail.example ready\r\n" * 10)
                connection.recv(10_000)

        thread = threading.Thread(target=greet)
        thread.start()
        found = examine(f"tls: {{host: 127.0.0.1, port: {listener.getsockname()[1]}}}")
        thread.join()
    assert error_of(found) == "tls"


def test_a_port_is_open_or_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert error_of(examine(f"tcp: {{host: localhost, port: {listener.getsockname()[1]}}}")) == "ok"
    assert error_of(examine("tcp: {host: 127.0.0.1, port: 1}")) == "connection_refused"


@contextmanager
def tls_server(folder: Path, days: float) -> Iterator[tuple[int, Path]]:
    """A server with a certificate for 127.0.0.1 that is valid for `days` from now."""
    context, trusted = tls_of_127_0_0_1(folder, days)
    with foreign(lambda _: iter([b""]), tls=context) as server:
        yield server.port, trusted


def test_a_certificate_that_is_none_is_an_error_of_the_target(tmp_path: Path) -> None:
    with tls_server(tmp_path, 20):
        pass
    pem = (tmp_path / "certificate.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    version = bytes.fromhex("a003020102")
    assert der.count(version) == 1
    (tmp_path / "certificate.pem").write_text(
        ssl.DER_cert_to_PEM_cert(der.replace(version, bytes.fromhex("a003020107"))), encoding="ascii"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    with foreign(lambda _: iter([b""]), tls=context) as server:
        assert error_of(examine(f"tls: {{host: 127.0.0.1, port: {server.port}, verify: false}}")) == "tls"


@pytest.mark.parametrize(
    ("days", "check", "expected"),
    [
        (20, "", "ok"),
        (10, "", "certificate_expires"),
        (10, ", days: 7", "ok"),
        (-1, "", "certificate_expired"),
        (-1, ", verify: false", "certificate_expired"),
        (20, ", verify: false", "ok"),
    ],
)
def test_a_certificate_is_looked_at_before_it_expires(
    days: float, check: str, expected: str, tmp_path: Path
) -> None:
    with tls_server(tmp_path, days) as (port, trusted):
        ca = "" if "verify" in check else f", ca_file: {trusted}"
        found = examine(f"tls: {{host: 127.0.0.1, port: {port}{check}{ca}}}")
        assert error_of(found) == expected
        if expected in {"ok", "certificate_expires"}:
            assert found.expires_at is not None
            left = found.expires_at - datetime.datetime.now(datetime.UTC)
            assert abs(left - datetime.timedelta(days=days)) < datetime.timedelta(minutes=5)
        if not ca:
            return
        assert error_of(examine(f"tls: {{host: 127.0.0.1, port: {port}}}")) in {
            "certificate_untrusted",
            "certificate_expired",
        }
        other = examine(f"tls: {{host: 127.0.0.1, port: {port}, server_name: other.example{ca}}}")
        assert error_of(other) in {"certificate_untrusted", "certificate_expired"}


def test_a_database_answers_refuses_hangs_or_is_away(migrated_url: str, tmp_path: Path) -> None:
    assert error_of(examine("postgresql: {}", own_url=migrated_url)) == "ok"
    url = tmp_path / "url"
    url.write_text(migrated_url.replace("/test_", "/no_such_"), encoding="utf-8")
    url.chmod(0o600)
    found = examine(f"postgresql: {{url: {{file: {url}}}}}")
    assert error_of(found) == "access_refused"
    assert "postgresql://" not in repr(found)
    away = examine("postgresql: {url: 'postgresql://someone@127.0.0.1:1/x'}")
    assert error_of(away) == "service_away"
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        hung = examine(f"postgresql: {{url: 'postgresql://u@localhost:{port}/x'}}", timeout="300ms")
    assert error_of(hung) == "timeout"


def _part(kind: bytes, body: bytes) -> bytes:
    """A message of PostgreSQL's protocol."""
    return kind + (4 + len(body)).to_bytes(4, "big") + body


def test_a_database_that_sends_rows_without_end_is_not_listened_to() -> None:
    login = _part(b"R", bytes(4)) + _part(b"S", b"client_encoding\0UTF8\0") + _part(b"Z", b"I")
    column = b"x\0" + bytes(6) + (25).to_bytes(4, "big") + b"\xff" * 6 + bytes(2)
    row = _part(b"D", b"\0\1" + (60_000).to_bytes(4, "big") + b"x" * 60_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sent = 0

        def serve() -> None:
            nonlocal sent
            connection, _ = listener.accept()
            with closing(connection), suppress(OSError):
                connection.recv(10_000)  # it asks for TLS
                connection.sendall(b"N")
                connection.recv(10_000)
                connection.sendall(login)
                assert connection.recv(10_000)[:1] == b"Q"
                connection.sendall(_part(b"T", b"\0\1" + column))
                while True:
                    connection.sendall(row)
                    sent += len(row)

        thread = threading.Thread(target=serve)
        thread.start()
        found = examine(f"postgresql: {{url: 'postgresql://u@127.0.0.1:{listener.getsockname()[1]}/x'}}")
        thread.join()
    assert error_of(found) == "service_away"
    assert 0 < sent < 256 << 20


def test_kafka_answers_lacks_a_topic_or_is_away(broker: Broker, topic: str) -> None:
    servers = broker.bootstrap_servers
    assert error_of(examine(f"kafka: {{topics: [{topic}]}}", servers=servers)) == "ok"
    assert error_of(examine("kafka: {}", servers=servers)) == "ok"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert error_of(examine(f"kafka: {{servers: ['{address}']}}", timeout="1s")) == "service_away"
    assert error_of(examine("kafka: {servers: ['127.0.0.1:1']}", timeout="1s")) == "service_away"


def test_a_broker_that_announces_an_answer_of_50_mb_is_not_listened_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def announce() -> None:
            connection, _ = listener.accept()
            with closing(connection):
                connection.recv(10_000)
                connection.sendall((50_000_000).to_bytes(4, "big"))
                connection.recv(10_000)

        thread = threading.Thread(target=announce)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        found = examine(f"kafka: {{servers: ['{address}']}}", timeout="5s")
        thread.join()
    assert error_of(found) == "access_refused"


def test_a_broker_that_sends_without_end_is_not_listened_to() -> None:
    sent = [0]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def flood() -> None:
            frame = (3_000_000).to_bytes(4, "big") + bytes(3_000_000)
            with suppress(OSError):  # until the listener is closed
                while True:
                    connection, _ = listener.accept()
                    sent.append(0)
                    with closing(connection), suppress(OSError):
                        while True:
                            connection.sendall(frame)
                            sent[-1] += len(frame)

        thread = threading.Thread(target=flood)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert error_of(examine(f"kafka: {{servers: ['{address}']}}", timeout="1s")) == "service_away"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert 0 < max(sent) < 32 << 20


@pytest.mark.needs_kafka
def test_a_topic_that_is_missing_is_named(broker: Broker) -> None:
    found = examine("kafka: {topics: [no-such-topic]}", servers=broker.bootstrap_servers)
    assert found.error is not None
    assert found.error.kind is ErrorClass.TOPIC
    assert "no-such-topic" in found.error.reason
