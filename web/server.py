"""Serving: one uvicorn on one socket, stopped gracefully."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import Any

import structlog
import uvicorn

from domain.errors import ConfigurationError
from web.http_protocol import BoundedProtocol

log = structlog.get_logger(__name__)

_MAX_SOCKET_MESSAGE = 256 * 1024
"""Bytes: as long as the body of a query may be."""


class Server(uvicorn.Server):
    """uvicorn, stopped by a signal in the main thread or by `stop` from any other."""

    def __init__(
        self,
        app: Any,
        *,
        graceful_seconds: int = 20,
        log_level: str = "warning",
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """`trusted_proxies`: the addresses or networks whose `X-Forwarded-For` says where a client is."""
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=BoundedProtocol,
                # The plain "websockets" implementation uses an interface that the library has deprecated.
                ws="websockets-sansio",
                lifespan="on",
                access_log=False,
                server_header=False,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                ws_max_size=_MAX_SOCKET_MESSAGE,
                log_level=log_level,
                timeout_graceful_shutdown=graceful_seconds,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_is_no_false_alarm)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would never end by itself, the streams, before the requests that run are waited for."""
        feed = getattr(getattr(self.config.app, "state", None), "feed", None)
        if feed is not None:
            feed.stop()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Take no new connections, finish the requests that run, and return from `run`."""
        self.should_exit = True


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """uvicorn says so of each request for a WebSocket that was answered by HTTP, with 401 for instance: whoever has no
    token could fill the log.
    """
    return record.msg != "ASGI callable returned without completing handshake."


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `ConfigurationError` when the address can't be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as exc:
        raise ConfigurationError(f"{host}:{port} is no address to serve at: {exc.strerror}") from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        raise ConfigurationError(
            f"can't serve at {host}:{port}: {exc.strerror}; choose another port"
        ) from exc
    return listener


def run(
    app: Any, host: str, port: int, *, graceful_seconds: int = 20, trusted_proxies: Sequence[str] = ()
) -> None:
    """Serve `app` until SIGINT or SIGTERM. Raises `ConfigurationError` when the address is taken."""
    with listen(host, port) as listener:
        server = Server(app, graceful_seconds=graceful_seconds, trusted_proxies=trusted_proxies)
        log.info("listening", host=host, port=listener.getsockname()[1])
        server.run(sockets=[listener])
