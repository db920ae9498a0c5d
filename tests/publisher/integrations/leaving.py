"""A client that leaves while the service works on its request."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit

import httpx2


def leave(client: httpx2.Client, path: str, held: threading.Event) -> None:
    """Ask for `path`, and close the connection when the service has set `held`."""
    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: clinic\r\n\r\n".encode())
        assert held.wait(10)
    # uvicorn has seen the end of the connection when it answers a later one.
    client.get("/healthz")
