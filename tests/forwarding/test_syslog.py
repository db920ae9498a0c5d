"""Syslog over TLS to a real rsyslog: nothing is lost when the network breaks, and nobody else reads along."""

from __future__ import annotations

import json
import os
import pty
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from audit_trail.embedded.broker import LOOPBACK
from domain.errors import UnavailableError
from forwarding.errors import RecordsRefusedError
from forwarding.receivers.syslog import SyslogServer
from forwarding.records import Encoded
from forwarding.settings import Syslog
from tests.forwarding.certificates import Authority, Certificate
from tests.forwarding.network import network
from tests.forwarding.records import a_record
from tests.forwarding.rsyslog import Rsyslog, first_of_each, rsyslog
from tests.forwarding.running import DECIDED, forwarding, made
from tests.servers import folder_for_servers
from tests.trail import Trail, an_event
from tests.waiting import eventually

needs_rsyslog = pytest.mark.needs_program("rsyslogd")
PEOPLE = "Zoë 王"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_servers() as found:
        yield found


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def client(authority: Authority) -> Certificate:
    return authority.certificate("trail.example")


@pytest.fixture(scope="module")
def server(folder: Path, authority: Authority) -> Iterator[Rsyslog]:
    with rsyslog(folder, authority) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_received(request: pytest.FixtureRequest) -> None:
    if "server" in request.fixturenames:
        found: Rsyslog = request.getfixturevalue("server")
        found.stop()
        found.file.unlink(missing_ok=True)
        found.start()


def settings(authority: Authority, client: Certificate, port: int, *more: str) -> str:
    lines = [
        f'[followers.siem]\n{DECIDED}start = "beginning"\nroles = ["auditor"]',
        f'[followers.siem.syslog]\nhost = "{LOOPBACK}"\nport = {port}\nca_file = "{authority.file}"',
        f'cert_file = "{client.file}"\nkey_file = "{client.key}"\ntimeout_seconds = 5',
        *more,
    ]
    return "\n".join(lines)


@needs_rsyslog
def test_rsyslog_has_everything_in_order_when_the_network_is_back(
    new_trail: Trail, server: Rsyslog, authority: Authority, client: Certificate, tmp_path: Path
) -> None:
    events = [an_event(actor={"id": "d.example", "name": PEOPLE}) for _ in range(3000)]
    with network(server.port) as between:
        between.cuts = [0, 300, 5000, 40_000, 200_000, 1_000]
        found = made(tmp_path, settings(authority, client, between.port))
        with forwarding(new_trail.url, found) as running:
            for at in range(0, 2000, 500):
                new_trail.append(*events[at : at + 500])
            running.arrives("siem", 1999, 60)
            between.up.clear()  # an outage, and a restart of the server within it
            new_trail.append(*events[2000:2500])
            before = between.connections
            eventually(lambda: between.connections > before)
            server.stop()
            server.start()
            new_trail.append(*events[2500:])
            between.up.set()
            running.arrives("siem", 2999, 60)
            assert running.problems == []
    eventually(lambda: len(first_of_each(server.places)) == 3000)
    assert first_of_each(server.places) == [(at, at - 1 if at else None) for at in range(3000)]
    body = json.loads(server.messages[-1].partition("] ")[2])
    assert body["event"]["actor"]["name"] == PEOPLE
    assert (body["follower"], body["position"], body["previous_position"]) == ("siem", 2999, 2998)


@needs_rsyslog
def test_a_server_that_is_restarted_in_the_midst_has_everything(
    new_trail: Trail, server: Rsyslog, authority: Authority, client: Certificate, tmp_path: Path
) -> None:
    found = made(tmp_path, settings(authority, client, server.port, "max_message_bytes = 4096"))
    with forwarding(new_trail.url, found) as running:
        for at in range(4):
            new_trail.append(*(an_event() for _ in range(2500)))
            eventually(lambda least=2500 * at: len(server.messages) > least)  # type: ignore[misc]
            server.stop()
            server.start()
        running.arrives("siem", 9999, 60)
    eventually(lambda: len(first_of_each(server.places)) == 10_000)
    assert [position for position, _ in first_of_each(server.places)] == list(range(10_000))


@needs_rsyslog
@pytest.mark.parametrize(
    ("body", "begins", "priority", "message_id"),
    [
        ("json", "{", "<86>1", "record.read"),
        ("cef", "CEF:0|", "<86>1", "record.read"),
        ("dicom", "<?xml", "<85>1", "DICOM+RFC3881"),  # PS3.15, A.6.1
    ],
)
def test_every_body_arrives_whole_in_a_message_of_rfc_5424(
    new_trail: Trail,
    server: Rsyslog,
    authority: Authority,
    client: Certificate,
    tmp_path: Path,
    body: str,
    begins: str,
    priority: str,
    message_id: str,
) -> None:
    new_trail.append(an_event(patients=[{"id": "17"}], resources=[{"type": "Observation", "id": "o-1"}]))
    found = made(tmp_path, settings(authority, client, server.port, f'body = "{body}"'))
    with forwarding(new_trail.url, found) as running:
        running.arrives("siem", 0)
    eventually(lambda: len(server.messages) == 1)
    [message] = server.messages
    header, _, host, app, process, id, rest = message.split(" ", 6)
    assert (header, host, app, process, id) == (
        priority,
        socket.gethostname(),
        "audit-trail",
        "siem",
        message_id,
    )
    assert rest.partition("] ")[2].startswith(begins)
    assert message.count("17") >= 1


@needs_rsyslog
def test_rsyslog_with_gnutls_never_sends_close_notify_and_has_everything_all_the_same(
    new_trail: Trail, folder: Path, authority: Authority, client: Certificate, tmp_path: Path
) -> None:
    new_trail.append(*(an_event() for _ in range(50)))
    with rsyslog(folder, authority, "gtls") as gnutls:
        strict = made(tmp_path, settings(authority, client, gnutls.port))
        with forwarding(new_trail.url, strict) as running:
            eventually(lambda: any('set confirm = "close"' in each for each in running.problems))
            assert running.follower("siem").position == -1
        for confirm, last in (("close", 49), ("tcp", 50)):
            found = made(tmp_path, settings(authority, client, gnutls.port, f'confirm = "{confirm}"'))
            with forwarding(new_trail.url, found) as running:
                running.arrives("siem", last)
            new_trail.append(an_event())
        eventually(lambda: len(first_of_each(gnutls.places)) == 51)
        assert [at for at, _ in first_of_each(gnutls.places)] == list(range(51))


def receiver(port: int, **fields: object) -> SyslogServer:
    given = {"host": LOOPBACK, "port": port, "timeout_seconds": 5.0} | fields
    return SyslogServer(Syslog(**given), "followers.siem.syslog")  # type: ignore[arg-type]


@needs_rsyslog
def test_a_server_that_is_not_the_right_one_gets_nothing(
    server: Rsyslog, authority: Authority, client: Certificate, tmp_path: Path
) -> None:
    message = [Encoded(0, b"5 hello")]
    ours = {"cert_file": str(client.file), "key_file": str(client.key)}
    stranger = Authority(tmp_path, "stranger")
    with pytest.raises(UnavailableError, match="no valid TLS certificate"):
        receiver(server.port, ca_file=str(stranger.file), **ours).send(message)
    with pytest.raises(UnavailableError, match=r"no valid TLS certificate .*localhost"):
        receiver(server.port, ca_file=str(authority.file), host="localhost", **ours).send(message)
    foreign = stranger.certificate("trail.example")
    theirs = {"cert_file": str(foreign.file), "key_file": str(foreign.key)}
    for credentials in ({}, theirs):  # the server refuses a client that it does not know
        with pytest.raises(UnavailableError, match=r"ended TLS \(|closed the connection by itself"):
            receiver(server.port, ca_file=str(authority.file), **credentials).send(message)
    assert server.messages == []


class Rude:
    """A TLS server that reads `reads` bytes, and then ends the connection in its own way."""

    def __init__(self, certificate: Certificate, reads: int, *, says_goodbye: bool) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate.file, certificate.key)
        self._reads, self._says_goodbye = reads, says_goodbye
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()
            with closing(self._tls.wrap_socket(connection, server_side=True)) as connected:
                left = self._reads
                while left > 0:
                    left -= len(connected.recv(left))
                if self._says_goodbye:
                    connected.settimeout(0)
                    connected.unwrap()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(30)


@pytest.mark.parametrize(
    ("confirm", "size"),
    [
        *((confirm, size) for confirm in ("close_notify", "close") for size in (100, 4_000_000)),
        ("tcp", 4_000_000),  # few bytes wait in its operating system, which is all that `tcp` asks
    ],
)
@pytest.mark.parametrize("says_goodbye", [True, False])
def test_a_server_that_ends_by_itself_without_reading_has_confirmed_nothing(
    authority: Authority, *, confirm: str, says_goodbye: bool, size: int
) -> None:
    server = Rude(authority.certificate("rude.example", LOOPBACK), 10, says_goodbye=says_goodbye)
    try:
        with pytest.raises(UnavailableError):
            receiver(server.port, ca_file=str(authority.file), confirm=confirm).send(
                [Encoded(0, b"x" * 10), Encoded(1, b"y" * size)]
            )
    finally:
        server.close()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    authority: Authority, tmp_path: Path
) -> None:
    given = authority.certificate("locked.example")
    key = load_pem_private_key(given.key.read_bytes(), None)
    locked = tmp_path / "key.pem"
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a password"))
    )
    # In a session of its own with a terminal, where it could ask.
    program = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        " from forwarding.receivers.secrets import tls_context; from forwarding.settings import Syslog;"
        " tls_context(Syslog(host='x', cert_file=sys.argv[1], key_file=sys.argv[2]), 'f')"
    )
    near, far = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, given.file, locked],
            stdin=far, capture_output=True, text=True, timeout=30, check=False, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(near)
        os.close(far)
    assert "in PEM and without a password, can be read there" in done.stderr


def test_a_message_that_the_server_would_cut_off_is_refused(authority: Authority) -> None:
    small = receiver(1, ca_file=str(authority.file), max_message_bytes=2048)
    with pytest.raises(RecordsRefusedError, match="max_message_bytes is 2048"):
        small.encode(a_record(reason="x" * 2048))
