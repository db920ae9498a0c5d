"""A listening socket, or an error that names the setting."""

from __future__ import annotations

import socket

from domain.errors import ConfigurationError


def listen(host: str, port: int, setting: str = "") -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `ConfigurationError` when the address is not available.

    The error names `setting`, the setting to change.
    """
    other = f"set {setting} to another port" if setting else "choose another port"
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as exc:
        raise ConfigurationError(f"{place} is no address to serve at: {exc.strerror}") from exc
    except UnicodeError as exc:
        raise ConfigurationError(f"{place} is no address to serve at: it is no host name") from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        raise ConfigurationError(f"can't serve at {place}: {exc.strerror}; {other}") from exc
    return listener
