"""A mail server: each event is one message in plain words, with the same Message-ID whenever it is sent again.

A recipient that the server refuses keeps no other one from the message: the message goes to those that it takes, and
the refusal is reported afterwards. Within one process nobody who has a message gets it again.
"""

from __future__ import annotations

import ipaddress
import smtplib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from hashlib import sha256

from domain.cases.employee_asked import employee_of
from domain.errors import ConfigurationError, UnavailableError
from event_store.outgoing_http import Deadline, parse_target, unanswered
from forwarding.errors import ReceiverRefusesError, RecordsRefusedError
from forwarding.receivers.secrets import read_secret, tls_context
from forwarding.receivers.smtp_session import SmtpSession
from forwarding.records import Encoded, Record
from forwarding.settings import ADDRESS, Smtp
from forwarding.words import QUESTION, question_text, subject, text

_UNFOLDED = policy.SMTP.clone(max_line_length=998)
"""RFC 5322, 2.1.1. A Message-ID that is folded is another one for some programs."""
_REMEMBERED = 1000
"""Messages of which is known who has them already."""
_OF_CLIENT = frozenset({530, 534, 535, 538})
"""RFC 4954, 6: the client must log in, or otherwise."""


AddressOf = Callable[[str], str | None]
"""The mail address of a person, by an id that events have."""


class MailServer:
    """A server that takes messages for the recipients of the settings."""

    pace_seconds = 0.0
    max_bytes = 1 << 20

    def __init__(self, settings: Smtp, field: str, address_of: AddressOf | None = None) -> None:
        """`field` is the place of the settings, for messages. Raises `ConfigurationError`.

        `address_of` looks up the employees to whom messages go if the settings say so.
        """
        if settings.to_employee is bool(settings.recipients):
            raise ConfigurationError(f"{field}: give recipients, or to_employee = true")
        if settings.to_employee and settings.dashboard_url is None:
            raise ConfigurationError(f"{field}: to_employee needs dashboard_url: the message leads there")
        self._address_of = address_of if settings.to_employee else None
        self.where = f"smtp {settings.host}:{settings.port}"
        self._settings = settings
        self._tls = tls_context(settings, field)
        if settings.tls == "none" and not _is_loopback(settings.host):
            raise ConfigurationError(f'{field}.tls: "none" is allowed only to this machine: write "starttls"')
        if (settings.user is None) != (settings.password_file is None):
            raise ConfigurationError(f"{field}: a login needs both user and password_file")
        if settings.dashboard_url is not None:
            parse_target(settings.dashboard_url, f"{field}.dashboard_url")
        self._login: tuple[str, str] | None = None
        if settings.user is not None and settings.password_file is not None:
            if not settings.user.isascii() or not settings.user.isprintable():
                raise ConfigurationError(f"{field}.user: write one line of ASCII")
            self._login = settings.user, read_secret(settings.password_file, f"{field}.password_file")
        self._have: OrderedDict[bytes, set[str]] = OrderedDict()

    def _recipients(self, record: Record) -> tuple[str, ...]:
        """Who gets a record. Raises `RecordsRefusedError` when nobody is known."""
        if not self._settings.to_employee:
            return self._settings.recipients
        if record.test:
            return (self._settings.sender,)
        employee = employee_of(record.recorded.event)
        if employee is None:
            raise RecordsRefusedError(
                "to_employee: only an event employee.asked of the trail says who gets it"
            )
        address = self._address_of(employee) if self._address_of is not None else None
        if address is None:
            raise RecordsRefusedError("to_employee: the table of staff has no address of the person asked")
        if not ADDRESS.fullmatch(address):
            raise RecordsRefusedError(
                "to_employee: the table of staff has no valid address of the person asked"
            )
        return (address,)

    def encode(self, record: Record) -> Encoded:
        """The message. Its `identity` is the Message-ID."""
        settings, id = self._settings, self._message_id(record)
        message = EmailMessage(policy.SMTP)
        message["From"] = settings.sender
        recipients = self._recipients(record)
        message["To"] = ", ".join(recipients)
        message["Subject"] = QUESTION if settings.to_employee and not record.test else subject(record)
        message["Date"] = datetime.now(UTC)
        message["Message-ID"] = id
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
        whole = question_text(settings.dashboard_url or "") if settings.to_employee else None
        message.set_content(
            whole or text(record, settings.dashboard_url), charset="utf-8", cte="quoted-printable"
        )
        return Encoded(record.leaf.position, message.as_bytes(policy=_UNFOLDED), id.encode(), recipients)

    def send(self, records: Sequence[Encoded]) -> str:
        """Send each record as a message, all in one connection."""
        deadline = Deadline(self._settings.timeout_seconds)
        with self._session(deadline) as session:
            for each in records:
                self._send(session, each)
        return "it took the message" if len(records) == 1 else f"it took {len(records)} messages"

    def close(self) -> None:
        """Hold nothing: each request has a connection of its own."""

    def _message_id(self, record: Record) -> str:
        follower = sha256(f"{record.follower}\n{record.leaf.origin}".encode()).hexdigest()[:12]
        return f"<{record.recorded.event.event_id}.{follower}@{self._settings.sender.rpartition('@')[2]}>"

    @contextmanager
    def _session(self, deadline: Deadline) -> Iterator[SmtpSession]:
        """A connection that is ready for messages; its errors say what they mean for the follower."""
        session = SmtpSession(self._settings, deadline, self._tls)
        try:
            with unanswered(self.where, deadline):
                try:
                    session.open()
                    if self._login is not None:
                        session.sign_in(*self._login)
                    yield session
                except smtplib.SMTPServerDisconnected:
                    deadline.left()
                    raise
                except smtplib.SMTPResponseException as exc:
                    raise UnavailableError(f"{self.where} answered {exc.smtp_code}") from exc
        except ReceiverRefusesError as exc:
            raise ReceiverRefusesError(f"{self.where}: {exc}") from exc
        finally:
            session.end()

    def _send(self, session: SmtpSession, message: Encoded) -> None:
        """Give the message to the recipients who lack it."""
        have = self._have.setdefault(message.identity, set())
        if len(self._have) > _REMEMBERED:
            self._have.popitem(last=False)
        session.require(session.mail(self._settings.sender)[0], "the sender")
        taken, refused, later = self._offered(session, message.recipients, have)
        if taken:
            self._require_data(session, message)
            have.update(taken)
        else:
            session.rset()
        if later:
            raise UnavailableError(f"{self.where} takes the message later for {_listed(later)}")
        if refused:
            raise RecordsRefusedError(f"{self.where} refuses the message for {_listed(refused)}")
        self._have.pop(message.identity, None)

    def _offered(
        self, session: SmtpSession, recipients: Sequence[str], have: set[str]
    ) -> tuple[list[str], dict[str, int], dict[str, int]]:
        """The recipients whom the server takes, refuses, and may take later."""
        taken: list[str] = []
        refused: dict[str, int] = {}
        later: dict[str, int] = {}
        for at, recipient in enumerate(recipients):
            if recipient in have:
                continue
            code, _ = session.rcpt(recipient)
            if code in _OF_CLIENT:
                raise ReceiverRefusesError(
                    f"it refuses this client (code {code}): set user and password_file"
                )
            if 200 <= code < 300:
                taken.append(recipient)
            else:
                (refused if 500 <= code < 600 else later)[f"recipients[{at}]"] = code
        return taken, refused, later

    def _require_data(self, session: SmtpSession, message: Encoded) -> None:
        try:
            code, _ = session.data(message.data)
        except smtplib.SMTPDataError as exc:
            code = exc.smtp_code
        if 500 <= code < 600:
            raise RecordsRefusedError(f"{self.where} refuses the message (code {code})")
        if not 200 <= code < 300:
            raise UnavailableError(f"{self.where} answered {code}")


def _listed(codes: dict[str, int]) -> str:
    return ", ".join(f"{name} (code {code})" for name, code in codes.items())


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
