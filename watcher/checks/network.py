"""Checks of a port and of a certificate, and the class of an error of the network."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta

from cryptography import x509

from event_store.outgoing_http import Deadline, open_tcp, open_tls
from watcher.observations import CheckError, ErrorClass, Finding
from watcher.targets import TcpCheck, TlsCheck

_EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""


def check_tcp(check: TcpCheck, deadline: Deadline) -> Finding:
    """Connect, and close the connection at once."""
    try:
        open_tcp(check.host, check.port, deadline).close()
    except (OSError, ValueError) as exc:
        return Finding(error=network_error(exc, deadline))
    return Finding()


def check_tls(check: TlsCheck, deadline: Deadline) -> Finding:
    """Take the server's certificate: its trust, and how long it is still valid."""
    try:
        with closing(
            open_tls(check.host, check.port, deadline, check.context, check.server_name)
        ) as connected:
            certificate = connected.getpeercert(binary_form=True)
        assert certificate is not None  # a server without one ends the handshake
        expires = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except (OSError, ValueError) as exc:
        return Finding(error=network_error(exc, deadline))
    except x509.InvalidVersion:
        return Finding(error=CheckError(ErrorClass.TLS, "the certificate is not of X.509 version 1 or 3"))
    left = expires - datetime.now(UTC)
    error = None
    if left < timedelta(0):
        error = CheckError(ErrorClass.EXPIRED, f"the certificate expired at {expires.isoformat()}")
    elif left < timedelta(days=check.days):
        days = left / timedelta(days=1)
        error = CheckError(
            ErrorClass.EXPIRES,
            f"the certificate expires in {days:.1f} days, at {expires.isoformat()}; less than {check.days:g} are left",
        )
    return Finding(error=error, expires_at=expires)


def network_error(exc: BaseException, deadline: Deadline) -> CheckError:
    """The class and reason of an error of a connection. What the target sent is not part of it."""
    if isinstance(exc, TimeoutError):
        return CheckError(ErrorClass.TIMEOUT, f"no answer within {deadline.seconds:g} s")
    if isinstance(exc, ssl.SSLError):
        return _tls_error(exc)
    if not isinstance(exc, OSError):
        return CheckError(ErrorClass.PROTOCOL, f"the answer is not HTTP ({type(exc).__name__})")
    kind, reason = next((found for kind, found in _REASONS if isinstance(exc, kind)), _OTHER)
    return CheckError.of(kind, reason.format(exc.strerror or type(exc).__name__))


_REASONS = (
    (socket.gaierror, (ErrorClass.NAME, "the name of the host has no address")),
    (ConnectionRefusedError, (ErrorClass.REFUSED, "the connection was refused")),
)
_OTHER = (ErrorClass.NETWORK, "the connection failed: {}")


def _tls_error(exc: ssl.SSLError) -> CheckError:
    if not isinstance(exc, ssl.SSLCertVerificationError):
        return CheckError.of(ErrorClass.TLS, f"the TLS handshake failed: {exc.reason or 'no reason given'}")
    if exc.verify_code == _EXPIRED:
        return CheckError(ErrorClass.EXPIRED, "the certificate has expired")
    what = exc.verify_message or "it is invalid"
    return CheckError.of(ErrorClass.UNTRUSTED, f"the certificate is not accepted: {what}")
