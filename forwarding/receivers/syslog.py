"""A syslog server over TLS (RFC 5425).

Syslog has no acknowledgement. So each request is a connection of its own, which ends with TLS's `close_notify`: when
the server answers that with its own, it has read everything before it. Without that answer nothing counts as sent, and
all of it is sent again: the server may have some records twice, and misses none.

A server that closes the connection by itself has confirmed nothing: with TLS 1.3 it may refuse this client after the
handshake, and rsyslog throws away what it has not read when it is stopped. So the end of the request waits a moment,
in which a server that works reads everything, and the close of one that does not is seen. The first request, and the
first after a failure, waits longer: whether the server accepts this client is not known yet.

What the server has read and not yet written when it crashes is lost; its own queue on disk prevents that.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from contextlib import closing, suppress

from domain.errors import UnavailableError
from event_store.outgoing_http import Deadline, Target, connect, send_all, unanswered
from forwarding.bodies import BODIES, JSON_BODIES
from forwarding.errors import RecordsRefusedError
from forwarding.receivers.host import host_name
from forwarding.receivers.secrets import tls_context
from forwarding.records import Encoded, Record
from forwarding.settings import Syslog
from interop import dicom, syslog

_POLL_SECONDS = 0.005
_SETTLE_SECONDS = 0.25
_FIRST_SETTLE_SECONDS = 1.0
"""How long a server has to read everything or to refuse the client, in addition to the time of the handshake."""


class SyslogServer:
    """One server. Each request is a connection; while there is no backlog, at most one begins each second."""

    pace_seconds = 1.0
    max_bytes = 4 << 20

    def __init__(self, settings: Syslog, field: str) -> None:
        """`field` is the place of the settings, for messages. Raises `ConfigurationError`."""
        self.where = f"syslog {settings.host}:{settings.port}"
        self._settings = settings
        self._target = Target("https", settings.host, settings.port, "")
        self._tls = tls_context(settings, field)
        self._accepted = False
        self._sender = syslog.Sender(
            host_name(), facility=settings.facility, enterprise=str(settings.enterprise_number)
        )

    def encode(self, record: Record) -> Encoded:
        """The framed message."""
        settings = self._settings
        message_id, severity = settings.message_id, None
        if settings.body == "dicom":  # IHE ITI-20 has the MSGID `IHE+RFC-3881`
            message_id = message_id or dicom.SYSLOG_MESSAGE_ID
            severity = dicom.SYSLOG_SEVERITIES[record.recorded.event.outcome]
        message = syslog.message(
            record.recorded,
            record.leaf,
            _body(record, settings.body),
            self._sender._replace(process_id=record.follower),
            message_id=message_id,
            severity=severity,
        )
        if len(message) > settings.max_message_bytes:
            raise RecordsRefusedError(
                f"the message has {len(message)} bytes, and max_message_bytes is {settings.max_message_bytes}:"
                " raise it, and the server's own limit before it"
            )
        return Encoded(record.leaf.position, syslog.frame(message))

    def send(self, records: Sequence[Encoded]) -> str:
        """Send in a new connection, and return when the server has read all of it."""
        accepted, self._accepted = self._accepted, False
        deadline = Deadline(self._settings.timeout_seconds)
        began = time.monotonic()
        with (
            unanswered(self.where, deadline),
            closing(connect(self._target, deadline, self._tls)) as connected,
        ):
            assert isinstance(connected, ssl.SSLSocket)
            version = connected.version()
            settle = (_SETTLE_SECONDS if accepted else _FIRST_SETTLE_SECONDS) + time.monotonic() - began
            send_all(connected, b"".join(each.data for each in records), deadline)
            self._settle(connected, settle, deadline)
            if self._settings.confirm == "tcp":
                said = "its operating system has taken the bytes"
            else:
                said = self._await_close(connected, deadline)
            _await_transport(connected, deadline)
        self._accepted = True
        return f"connected with {version}; {said}"

    def close(self) -> None:
        """Hold nothing."""

    def _settle(self, connected: ssl.SSLSocket, seconds: float, deadline: Deadline) -> None:
        """Wait some seconds. Raises `UnavailableError` when the server closes the connection meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            select.select([connected], [], [], min(left, deadline.left()))
            connected.settimeout(0)
            with suppress(ssl.SSLWantReadError):  # only a session ticket came
                said = connected.recv(1)
                raise UnavailableError(
                    f"{self.where} sends data: it is no syslog server"
                    if said
                    else f"{self.where} closed the connection by itself, so it may not have read everything: it is"
                    " being stopped, or refuses this client's certificate"
                )

    def _await_close(self, connected: ssl.SSLSocket, deadline: Deadline) -> str:
        """Send close_notify, and wait until the server has closed the connection."""
        connected.settimeout(deadline.left())
        try:
            if connected.unwrap().recv(1):
                raise UnavailableError(f"{self.where} sends data after close_notify: it is no syslog server")
        except ssl.SSLEOFError as exc:
            if self._settings.confirm == "close":
                return "it closed the connection"
            raise UnavailableError(
                f"{self.where} closed the connection without close_notify, so it may not have read everything: if it"
                ' never sends one, as rsyslog with GnuTLS does not, set confirm = "close"'
            ) from exc
        except TimeoutError as exc:
            raise UnavailableError(
                f"{self.where} did not close the connection within {deadline.seconds:g} s, so it may not have read"
                ' everything: if it never does, set confirm = "tcp"'
            ) from exc
        return "it read everything and closed the connection with close_notify"


def _body(record: Record, name: str) -> bytes:
    """JSON is written in ASCII: so it needs no byte order mark, which readers of JSON refuse (RFC 8259, 8.1)."""
    body = BODIES[name](record)
    if name in JSON_BODIES and not body.isascii():
        return json.dumps(json.loads(body), separators=(",", ":")).encode()
    return body


def _await_transport(connected: socket.socket, deadline: Deadline) -> None:
    """Wait until the receiving operating system has acknowledged every byte. Raises `OSError` when it refuses some.

    It refuses what arrives after the server's program has closed the connection by itself, without having read it.
    """
    while True:
        waiting = _unacknowledged(connected)
        if error := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        if not waiting:
            return
        deadline.left()
        time.sleep(_POLL_SECONDS)


def _unacknowledged(connected: socket.socket) -> int:
    """Bytes that were sent and that the other side's operating system has not acknowledged."""
    (count,) = struct.unpack("i", fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return int(count)
