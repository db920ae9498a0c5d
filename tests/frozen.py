"""Servers that are stopped in the middle: they neither answer nor close their connections."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def frozen(*pids: int, children: bool = True) -> Iterator[None]:
    """SIGSTOP these processes, and by default all that descend from them, until the end."""
    processes = [psutil.Process(pid) for pid in pids]
    # The parent first: it could start others meanwhile.
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    stopped = list(processes)
    try:
        for process in processes if children else ():
            for child in process.children(recursive=True):
                child.send_signal(signal.SIGSTOP)
                stopped.append(child)
        yield
    finally:
        for process in reversed(stopped):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


class BlackHole:
    """A TCP proxy before a Unix socket or a port, which can go silent: it then forwards nothing and closes nothing."""

    def __init__(self, target: str | tuple[str, int]) -> None:
        self._target = target
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._ended = False
        self._start(self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Forward nothing inside."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def close(self) -> None:
        """Close everything."""
        self._ended = True
        self._open.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def _start(self, function: object, *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._ended:
                client, _ = self._listener.accept()
                self._open.wait()
                family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
                server = socket.socket(family)
                self._sockets += [client, server]
                server.connect(self._target)
                self._start(self._forward, client, server)
                self._start(self._forward, server, client)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._open.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
