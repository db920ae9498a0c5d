"""One connection to a mail server, with one deadline and a bound on what the server may say.

`smtplib` bounds neither: its time-out holds for each read, and a reply may have lines without end.
"""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from socket import socket
from typing import Any

from event_store.outgoing_http import Bounded, Deadline, Target, connect
from forwarding.errors import ReceiverRefusesError
from forwarding.receivers.host import host_name
from forwarding.settings import Smtp

_MOST_REPLIES = 256 << 10
"""Bytes of all replies in one connection."""


class SmtpSession(smtplib.SMTP):
    """A connection, encrypted as the settings say. Its methods raise `OSError`, which `smtplib`'s errors are."""

    def __init__(self, settings: Smtp, deadline: Deadline, tls: ssl.SSLContext) -> None:
        name = host_name()
        super().__init__(local_hostname=name if name.isascii() and name != "-" else "localhost")
        self._settings = settings
        self._deadline = deadline
        self._context = tls
        self._connected: socket | None = None

    def open(self) -> None:
        """Connect, and encrypt. Raises `ReceiverRefusesError` when the server offers no `STARTTLS`."""
        self.require(self.connect(self._settings.host, self._settings.port)[0], "the connection")
        if self._settings.tls == "starttls":
            self.ehlo()
            if not self.has_extn("starttls"):
                raise ReceiverRefusesError(
                    "it offers no STARTTLS, so nothing is sent: enable it there, or set tls and port"
                )
            self.require(self.docmd("STARTTLS")[0], "STARTTLS")
            self._encrypt()
        self.ehlo_or_helo_if_needed()

    def sign_in(self, user: str, password: str) -> None:
        """Log in. Raises `ReceiverRefusesError` when the server does not accept that."""
        try:
            self.login(user, password)
        except smtplib.SMTPAuthenticationError as exc:
            self.require(exc.smtp_code, "the login")
            raise
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException as exc:
            raise ReceiverRefusesError("it offers no login that is known here") from exc

    def require(self, code: int, what: str) -> None:
        """Raise what a reply to something else than a message means. The server's text is never quoted."""
        if 500 <= code < 600:
            raise ReceiverRefusesError(f"it refuses {what} (code {code})")
        if not 200 <= code < 400:
            raise smtplib.SMTPResponseException(code, "")

    def end(self) -> None:
        """Say goodbye, which the server need not hear, and close."""
        with suppress(OSError, ValueError):
            if self.sock is not None:
                self.putcmd("QUIT")
        self.close()
        if self._connected is not None:
            self._connected.close()

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        """Called by `connect`."""
        del timeout
        scheme = "https" if self._settings.tls == "tls" else "http"
        self._connected = connect(Target(scheme, host, port, ""), self._deadline, self._context)
        return Bounded(self._connected, self._deadline, _MOST_REPLIES)

    def _use(self, connected: Any) -> None:
        self.sock = connected

    def _encrypt(self) -> None:
        """What was read before counts no more: somebody in the network path could have said it (CVE-2011-0411)."""
        assert self._connected is not None
        self._connected.settimeout(self._deadline.left())
        self._connected = self._context.wrap_socket(self._connected, server_hostname=self._settings.host)
        self._use(Bounded(self._connected, self._deadline, _MOST_REPLIES))
        self.file = None
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False
