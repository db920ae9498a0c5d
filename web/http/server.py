"""Serving: one uvicorn on one socket, stopped gracefully."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import structlog
import uvicorn

from web.http.http1_protocol import BoundedProtocol
from web.http.listening_socket import listen
from web.http.websocket_protocol import BoundedSocketProtocol

log = structlog.get_logger(__name__)

_MAX_SOCKET_MESSAGE = 256 * 1024
"""Bytes of a WebSocket message: the limit of a query's body."""


class Server(uvicorn.Server):
    """uvicorn, stopped by a signal in the main thread or by `stop` from any other."""

    def __init__(
        self,
        app: Any,
        *,
        graceful_seconds: int = 20,
        keep_alive_seconds: int = 75,
        log_level: str = "warning",
        trusted_proxies: Sequence[str] = (),
        on_signal: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`trusted_proxies`: the addresses or networks whose `X-Forwarded-For` is trusted.

        `on_signal` is called with each signal that stops the server.
        """
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=BoundedProtocol,
                # The plain "websockets" implementation uses an interface that the library has deprecated.
                ws=BoundedSocketProtocol,
                lifespan="on",
                access_log=False,
                server_header=False,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                ws_max_size=_MAX_SOCKET_MESSAGE,
                log_level=log_level,
                log_config=None,  # its lines go where the others go, in their format
                timeout_graceful_shutdown=graceful_seconds,
                timeout_keep_alive=keep_alive_seconds,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_is_no_false_alarm)
        self._on_signal = on_signal

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop the feed of subscriptions, then the server."""
        self._on_signal(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which do not end by themselves, then wait for running requests."""
        feed = getattr(getattr(self.config.app, "state", None), "feed", None)
        if feed is not None:
            feed.stop()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Accept no more connections, finish running requests, and return from `run`."""
        self.should_exit = True


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Whether a log line of uvicorn is worth keeping.

    It logs this one for each WebSocket request that was answered by HTTP, with 401 for instance: a client without a
    token could fill the log.
    """
    return record.msg != "ASGI callable returned without completing handshake."


def run(
    app: Any,
    host: str,
    port: int,
    *,
    graceful_seconds: int = 20,
    keep_alive_seconds: int = 75,
    trusted_proxies: Sequence[str] = (),
    on_signal: Callable[[int], None] = lambda _: None,
    setting: str = "",
) -> None:
    """Serve `app` until SIGINT or SIGTERM. Raises `ConfigurationError` when the address is taken.

    `setting` is the setting of the port.
    """
    with listen(host, port, setting) as listener:
        server = Server(
            app,
            graceful_seconds=graceful_seconds,
            keep_alive_seconds=keep_alive_seconds,
            trusted_proxies=trusted_proxies,
            on_signal=on_signal,
        )
        log.info("listening", host=host, port=listener.getsockname()[1])
        server.run(sockets=[listener])
        log.info("stopped_listening")
