"""A network between a follower and its receiver, which the test cuts: in the midst of what it carries, or wholly."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from audit_trail.embedded.broker import LOOPBACK


class Network:
    """Carries connections from `port` to `target`. `cuts` are numbers of bytes: each next connection ends after one."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.cuts: list[int] = []
        self.connections = 0
        self.up = threading.Event()
        self.up.set()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if not self.up.is_set():
                _reset(near)
                continue
            thread = threading.Thread(
                target=self._carry, args=(near, self.cuts.pop(0) if self.cuts else None)
            )
            self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket, cut: int | None) -> None:
        with (
            suppress(OSError),
            closing(near),
            closing(socket.create_connection((LOOPBACK, self.target), 10)) as far,
        ):
            back = threading.Thread(target=_copy, args=(far, near, None))
            back.start()
            if _copy(near, far, cut):
                _reset(near)
                _reset(far)
            back.join(30)


def _copy(source: socket.socket, sink: socket.socket, cut: int | None) -> bool:
    """Copy until the end; whether it ended by the cut."""
    left = cut
    with suppress(OSError):
        while data := source.recv(4096 if left is None else max(1, min(left, 4096))):
            sink.sendall(data)
            if left is not None:
                left -= len(data)
                if left <= 0:
                    return True
        sink.shutdown(socket.SHUT_WR)
    return False


def _reset(connected: socket.socket) -> None:
    """Drop the connection: what was not read on either side is gone."""
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connected.shutdown(socket.SHUT_RDWR)
    connected.close()


@contextmanager
def network(target: int) -> Iterator[Network]:
    carrying = Network(target)
    try:
        yield carrying
    finally:
        carrying.close()
