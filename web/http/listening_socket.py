"""A listening socket, or an error that names the setting."""

from __future__ import annotations

import errno
import socket

from domain.errors import ConfigurationError

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nosec B104


def connectable(host: str) -> str:
    """The address at which this machine reaches a socket that listens at `host`."""
    return _ANY_ADDRESS.get(host, host)


def listen(host: str, port: int, setting: str = "") -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `ConfigurationError` when the address is not available.

    The error names the setting to change: `setting`, which ends with PORT, or the one of the host beside it.
    """
    other = f"set {setting} to another port" if setting else "choose another port"
    named = f"; set {setting.removesuffix('PORT')}HOST to an address of this machine" if setting else ""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as exc:
        raise ConfigurationError(f"{place} is no address to serve at: {exc.strerror}{named}") from exc
    except UnicodeError as exc:
        raise ConfigurationError(f"{place} is no address to serve at: it is no host name{named}") from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRNOTAVAIL and named:
            raise ConfigurationError(f"can't serve at {place}: {exc.strerror}{named}") from exc
        raise ConfigurationError(f"can't serve at {place}: {exc.strerror}; {other}") from exc
    return listener
