"""Notices by mail, through a real Exim with TLS and a login, and servers that behave badly."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from socket import create_server
from threading import Event, Thread
from typing import Any

import pytest
from msgspec.structs import replace

from audit_trail.embedded.broker import LOOPBACK
from domain.errors import ConfigurationError, UnavailableError
from forwarding.errors import ReceiverRefusesError, RecordsRefusedError
from forwarding.receivers.receiver import Receiver
from forwarding.receivers.smtp import MailServer
from forwarding.records import Encoded, Record
from forwarding.settings import Smtp
from tests.databases import away
from tests.forwarding.alerts import an_alert
from tests.forwarding.certificates import Authority
from tests.forwarding.exim import PASSWORD, USER, Exim, exim
from tests.forwarding.records import a_record
from tests.forwarding.running import DECIDED, forwarding, made
from tests.servers import folder_for_servers
from tests.trail import Trail, an_event
from tests.waiting import eventually

needs_exim = pytest.mark.needs_program("exim4")
SENDER = "audit-trail@hospital.example"
OFFICE = "office@hospital.example"
GONE = "gone@hospital.example"
FULL = "full@hospital.example"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_servers() as found:
        yield found


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def running_exim(folder: Path, authority: Authority) -> Iterator[Exim]:
    with exim(folder, authority) as found:
        yield found


@pytest.fixture
def server(running_exim: Exim) -> Exim:
    running_exim.forget()
    running_exim.make_room(room=False)
    return running_exim


@pytest.fixture
def password(tmp_path: Path) -> str:
    return written(tmp_path / "password", PASSWORD)


def written(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def mail(server: Exim, authority: Authority, password: str) -> Callable[..., MailServer]:
    def make(*recipients: str, **fields: Any) -> MailServer:
        known: dict[str, Any] = {
            "host": LOOPBACK,
            "port": server.port,
            "sender": SENDER,
            "recipients": recipients or (OFFICE,),
            "ca_file": str(authority.file),
            "user": USER,
            "password_file": password,
        }
        return MailServer(Smtp(**known | fields), "followers.m.smtp")

    return make


def alert_record(**fields: Any) -> Record:
    record = a_record()
    return record._replace(recorded=replace(record.recorded, event=an_alert(**fields)))


def send(receiver: MailServer, record: Record) -> str:
    return receiver.send([receiver.encode(record)])


@needs_exim
def test_a_message_says_in_words_what_was_found_and_where_it_is_seen(
    server: Exim, mail: Callable[..., MailServer]
) -> None:
    record = alert_record(rule="Akteneinsicht über 30 Patienten")
    said = send(mail(OFFICE, "night@hospital.example", dashboard_url="https://audit.example/trail/"), record)
    assert said == "it took the message"
    [(envelope, message)] = server.messages
    assert sorted(envelope) == ["night@hospital.example", OFFICE]
    assert message["Subject"] == "Audit Trail, high: Akteneinsicht über 30 Patienten"
    assert (message["From"], message["Auto-Submitted"]) == (SENDER, "auto-generated")
    id = record.recorded.event.event_id
    assert message["Message-ID"].startswith(f"<{id}.")
    text = message.get_content()
    for line in (
        "Rule: Akteneinsicht über 30 Patienten",
        "About: actor.id ada",
        "Time: 2026-03-02 08:00:00 UTC to 2026-03-02 09:00:00 UTC",
        "Events: 31 when it was raised",
        f"Reported by: {record.recorded.event.source.service}",
        "Why: 31 different patients.id within an hour, such as p-1, p-2",
        f"See: https://audit.example/trail/alerts/{id}",
        "Sent by the follower siem of Audit Trail.",
    ):
        assert line in text.splitlines()
    assert "17, 18, 19 and 11 more" in text


@needs_exim
def test_tls_from_the_beginning_works_too_and_a_foreign_certificate_does_not(
    server: Exim, mail: Callable[..., MailServer], tmp_path: Path
) -> None:
    send(mail(tls="tls", port=server.tls_port), alert_record())
    assert len(server.messages) == 1
    other = Authority(tmp_path, "other")
    for fields in ({"ca_file": None}, {"ca_file": str(other.file)}, {"host": "localhost"}):
        for how in ({}, {"tls": "tls", "port": server.tls_port}):
            with pytest.raises(UnavailableError, match="no valid TLS certificate"):
                send(mail(**fields, **how), alert_record())
    assert len(server.messages) == 1


@needs_exim
def test_a_wrong_password_is_no_fault_of_the_message(
    server: Exim, mail: Callable[..., MailServer], tmp_path: Path
) -> None:
    wrong = mail(password_file=written(tmp_path / "wrong", "hunter2"))
    with pytest.raises(ReceiverRefusesError, match=r"refuses the login \(code 535\)") as caught:
        send(wrong, alert_record())
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ReceiverRefusesError, match=r"refuses the sender \(code 550\)"):
        send(mail(user=None, password_file=None), alert_record())
    assert server.messages == []


@needs_exim
def test_who_is_refused_or_full_keeps_no_other_from_the_message_and_nobody_gets_it_twice(
    server: Exim, mail: Callable[..., MailServer]
) -> None:
    receiver, record = mail(GONE, OFFICE, FULL), alert_record()
    with pytest.raises(UnavailableError, match=r"later for recipients\[2\] \(code 451\)") as caught:
        send(receiver, record)
    assert "P-Example" not in str(caught.value)
    server.make_room()
    for _ in range(2):
        with pytest.raises(
            RecordsRefusedError, match=r"refuses the message for recipients\[0\] \(code 550\)"
        ):
            send(receiver, record)
    assert [envelope for envelope, _ in server.messages] == [[OFFICE], [FULL]]
    assert len({message["Message-ID"] for _, message in server.messages}) == 1


@needs_exim
def test_a_message_that_the_server_refuses_is_refused(server: Exim, mail: Callable[..., MailServer]) -> None:
    with pytest.raises(RecordsRefusedError, match=r"refuses the message \(code 550\)"):
        send(mail(), alert_record(rule="forbidden"))
    assert server.messages == []


@needs_exim
def test_no_text_of_an_event_becomes_a_header_a_command_or_the_end_of_the_message(
    server: Exim, mail: Callable[..., MailServer]
) -> None:
    evil = "x\r\nBcc: evil@evil.example\r\n\r\n.\r\nMAIL FROM:<a@evil.example>\r\n\u202egnp.exe\x00\u2028y"
    record = alert_record(rule=evil.replace("\x00", ""), reason=evil.replace("\x00", ""))
    send(mail(), record)
    [(envelope, message)] = server.messages
    assert envelope == [OFFICE]
    assert message["Bcc"] is None
    assert message["Subject"].startswith("Audit Trail, high: x Bcc: evil@evil.example . MAIL FROM")
    assert "\u202e" not in message.get_content()


@needs_exim
def test_a_follower_sends_alerts_from_a_level_on_and_again_under_the_same_id_after_a_lost_checkpoint(
    new_trail: Trail, server: Exim, authority: Authority, password: str, tmp_path: Path
) -> None:
    new_trail.append(an_event(), an_alert("medium"), an_alert("high"), an_event(), an_alert("critical"))
    text = (
        f'[followers.m]\n{DECIDED}start = "beginning"\nroles = ["security_officer"]\n'
        'filter = { type = "alert.raised" }\nleast_level = "high"\n'
        f'[followers.m.smtp]\nhost = "{LOOPBACK}"\nport = {server.port}\nca_file = "{authority.file}"\n'
        f'sender = "{SENDER}"\nrecipients = ["{OFFICE}"]\nuser = "{USER}"\npassword_file = "{password}"\n'
    )
    found = made(tmp_path, text)
    slow = SlowToConfirm(found[0].receiver)
    with forwarding(new_trail.url, [found[0]._replace(receiver=slow)]) as running:
        assert slow.sent.wait(20)
        with away(new_trail.url):
            slow.goes_on.set()
            kind = {"follower": "m", "kind": "away"}
            eventually(lambda: bool(running.number("audit_trail_forward_failures_total", **kind)))
        running.arrives("m", 4)
    ids = [message["Message-ID"] for _, message in server.messages]
    subjects = {message["Subject"] for _, message in server.messages}
    assert subjects == {"Audit Trail, high: Mass access", "Audit Trail, critical: Mass access"}
    assert ids[0] == ids[1]
    assert (len(ids), len(set(ids))) == (3, 2)


class SlowToConfirm:
    """A receiver whose confirmation comes when the test wants it."""

    def __init__(self, receiver: Receiver) -> None:
        self.sent, self.goes_on = Event(), Event()
        self._receiver = receiver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)

    def send(self, records: Sequence[Encoded]) -> str:
        said = self._receiver.send(records)
        self.sent.set()
        self.goes_on.wait(30)
        return said


@contextmanager
def scripted(*replies: bytes, pause: float = 0.0) -> Iterator[int]:
    """A server on a port that says the first reply at once, and one more after each line; then it says nothing."""
    with create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connected, connected.makefile("rb") as lines:
                try:
                    for reply in replies:
                        for each in (
                            (reply,) if not pause else (reply[at : at + 1] for at in range(len(reply)))
                        ):
                            connected.sendall(each)
                            time.sleep(pause)
                        lines.readline()
                    while lines.readline():
                        pass
                except OSError:
                    return

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def plain(port: int, **fields: Any) -> MailServer:
    known: dict[str, Any] = {
        "host": LOOPBACK,
        "port": port,
        "tls": "none",
        "sender": SENDER,
        "recipients": (OFFICE,),
        "timeout_seconds": 1,
    }
    return MailServer(Smtp(**known | fields), "followers.m.smtp")


@pytest.mark.parametrize(
    ("replies", "pause", "error", "says"),
    [
        ((), 0, UnavailableError, "did not answer within 1 s"),
        ((b"220 mail.example ESMTP, which speaks slowly\r\n",), 0.1, UnavailableError, "did not answer within 1 s"),
        ((b"220-x\r\n" * 60_000,), 0, UnavailableError, "does not answer"),
        ((b"220 " + b"x" * 100_000,), 0, UnavailableError, "answered 500"),
        ((b"HTTP/1.1 400 Bad Request\r\n",), 0, UnavailableError, "smtp"),
        ((b"421 busy\r\n",), 0, UnavailableError, "answered 421"),
        ((b"554 go away\r\n",), 0, ReceiverRefusesError, r"refuses the connection \(code 554\)"),
        ((b"220 x\r\n", b"250 x\r\n", b"451 later\r\n"), 0, UnavailableError, "answered 451"),
        ((b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"530 no\r\n"), 0, ReceiverRefusesError, "set user"),
        (
            (b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"),
            0,
            UnavailableError,
            "did not answer within 1 s",
        ),
    ],
)  # fmt: skip
def test_a_server_that_is_silent_slow_endless_or_unwilling_costs_one_deadline(
    replies: tuple[bytes, ...], pause: float, error: type[Exception], says: str
) -> None:
    with scripted(*replies, pause=pause) as port:
        began = time.monotonic()
        with pytest.raises(error, match=says):
            send(plain(port), alert_record())
        assert time.monotonic() - began < 4


def test_without_starttls_nothing_is_sent() -> None:
    with (
        scripted(b"220 x\r\n", b"250 x\r\n") as port,
        pytest.raises(ReceiverRefusesError, match="offers no STARTTLS, so nothing is sent"),
    ):
        send(plain(port, tls="starttls"), alert_record())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"host": "mail.example"}, r'followers\.m\.smtp\.tls: "none" is allowed only to this machine'),
        ({"user": "x"}, "a login needs both user and password_file"),
        ({"dashboard_url": "ftp://x"}, r"followers\.m\.smtp\.dashboard_url needs a URL"),
        ({"recipients": ()}, "give recipients, or to_employee = true"),
        ({"to_employee": True, "dashboard_url": "https://x"}, "give recipients, or to_employee = true"),
        ({"to_employee": True, "recipients": ()}, "to_employee needs dashboard_url"),
    ],
)
def test_a_setting_that_can_not_work_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        plain(25, **fields)


@pytest.mark.parametrize(
    "address", ["x", "a@b\\r\\nRCPT TO:<c@d>", "A <a@b.example>", "a@b, c@d", "ä@b.example"]
)
def test_an_address_is_one_address(tmp_path: Path, address: str) -> None:
    text = (
        f'[followers.m]\n{DECIDED}start = "now"\nroles = ["auditor"]\n'
        f'[followers.m.smtp]\nhost = "x"\nsender = "{SENDER}"\nrecipients = ["{address}"]\n'
    )
    with pytest.raises(ConfigurationError, match=r"followers\.m\.smtp\.recipients"):
        made(tmp_path, text)


ADDRESSES = {"ada": "ada@hospital.example", "bob": "bob@x\r\nBcc: eve@x"}


def to_employees() -> MailServer:
    settings = Smtp(
        host=LOOPBACK, tls="none", sender=SENDER, to_employee=True, dashboard_url="https://audit.example/"
    )
    return MailServer(settings, "followers.q.smtp", ADDRESSES.get)


def asked(employee: str, **fields: Any) -> Record:
    resources = [{"type": "Case", "id": "c-17"}, {"type": "Employee", "id": employee}]
    known: dict[str, Any] = {
        "source": {"service": "audit-trail"},
        "resources": resources,
        "actor": {"id": "paul"},
    }
    return a_record(**{"type": "employee.asked", **known, **fields})


def test_an_employee_who_is_asked_gets_a_link_and_no_more() -> None:
    encoded = to_employees().encode(asked("ada"))
    message = message_from_bytes(encoded.data, policy=policy.default)
    assert encoded.recipients == ("ada@hospital.example",)
    assert (message["To"], message["Subject"]) == ("ada@hospital.example", "Audit Trail: a question to you")
    text = message.get_content()
    assert "https://audit.example/questions" in text
    assert not {"c-17", "paul", "ada"} & set(re.split(r"[^\w-]", text))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (asked("eve"), "no address of the person asked"),
        (asked("bob"), "no valid address"),
        (asked("ada", type="alert.raised"), "only an event employee.asked"),
        (asked("ada", source={"service": "ehr"}), "only an event employee.asked"),
    ],
)
def test_an_employee_without_an_address_gets_no_message(record: Record, says: str) -> None:
    with pytest.raises(RecordsRefusedError, match=says):
        to_employees().encode(record)


def test_a_test_message_goes_to_the_sender() -> None:
    assert to_employees().encode(alert_record()._replace(test=True)).recipients == (SENDER,)


def test_each_follower_has_message_ids_of_its_own() -> None:
    receiver, record = plain(25), alert_record()
    ids = {receiver.encode(each).identity for each in (record, record, record._replace(follower="other"))}
    assert len(ids) == 2


def test_no_line_of_a_message_is_longer_than_the_standard_allows() -> None:
    data = plain(25).encode(alert_record(rule="ä" * 5000, reason="x" * 5000)).data
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
