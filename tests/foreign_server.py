"""A server of somebody else on a socket: it says what a test tells it to, at the pace that the test wants."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Said = Iterator[bytes]
Script = Callable[[bytes], Said]
"""From the beginning of a request, the parts of the answer."""


class ForeignServer:
    """Each connection gets the script's parts one after the other, `pause` seconds apart."""

    def __init__(self, script: Script, pause: float, tls: ssl.SSLContext | None) -> None:
        self.requests: list[bytes] = []
        self._script = script
        self._pause = pause
        self._tls = tls
        self._ending = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            with suppress(OSError):
                connection, _ = self._socket.accept()
                thread = threading.Thread(target=self._answer, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), closing(connection):
            connection.settimeout(30)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with closing(connection):
                request = self._request(connection)
                self.requests.append(request)
                for part in self._script(request):
                    connection.sendall(part)
                    if self._ending.wait(self._pause):
                        return

    def _request(self, connection: socket.socket) -> bytes:
        """The head of a request, and its body when it says how long that is."""
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(65536)
            if not part:
                return request
            request += part
        head, _, body = request.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ]
        while lengths and len(body) < lengths[0]:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def end(self) -> None:
        self._ending.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(30)


@contextmanager
def foreign(
    script: Script, *, pause: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[ForeignServer]:
    """A server that runs `script` for each connection."""
    server = ForeignServer(script, pause, tls)
    try:
        yield server
    finally:
        server.end()


def one_by_one(said: bytes) -> Said:
    """Each byte a part of its own."""
    for at in range(len(said)):
        yield said[at : at + 1]


def for_ever(said: bytes, before: bytes = b"") -> Said:
    """The same again and again."""
    if before:
        yield before
    while True:
        yield said


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def tls_of_127_0_0_1(folder: Path, days: float = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for 127.0.0.1, and the file of the certificate that its clients have to trust.

    The certificate is valid until `days` from now.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted = folder / "certificate.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted
