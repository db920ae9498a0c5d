"""The client's address behind reverse proxies.

A client can send `X-Forwarded-For` itself, so only the entries that one's own proxies added are believed. Each proxy
appends the address that it was called from, so the header is read from the right and ends at the first address that is
not a proxy's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

FORWARDED = "forwarded"
"""RFC 7239."""
X_FORWARDED_FOR = "x-forwarded-for"
UNIX = "unix"
"""The name, among trusted proxies, of whatever connects through a Unix socket: it has no address."""
_MOST_PROXIES = 32
"""Entries that are read: no request passes through more proxies of one site."""
_FOR = re.compile(r'(?:^|;)[ \t]*for="?([^";]*)"?', re.IGNORECASE)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The proxies in front of a service.

    `networks` are addresses or networks such as ``10.0.0.0/8``, and `UNIX`. `header` is the one header that the
    proxies set. A second one would come from the client as it is, so only one is read.
    """

    def __init__(self, networks: Iterable[str] = (), header: str = X_FORWARDED_FOR) -> None:
        names = [networks] if isinstance(networks, str) else list(networks)
        self._unix = UNIX in names
        self._networks = [ipaddress.ip_network(each, strict=False) for each in names if each != UNIX]
        self.header = header.lower()
        if self.header not in {FORWARDED, X_FORWARDED_FOR}:
            raise ValueError(f"the header of proxies is {X_FORWARDED_FOR} or {FORWARDED}, not {header!r}")

    def client_address(self, peer: str | None, values: Sequence[str]) -> str | None:
        """The client's address, or that of the proxy nearest to it that is known.

        `peer` is the address of the connection, None for a Unix socket. `values` are those of all headers with the name
        `header`, in their order. An entry that is no address (``unknown``, ``_hidden``: RFC 7239 section 6) ends the
        reading. A `peer` that is a name and not an address, as in tests, is returned as it is.
        """
        nearest = _address(peer or "")
        if nearest is None and (peer or not self._unix):
            return peer
        for entry in self._from_the_right(values):
            if nearest is not None and not self._trusts(nearest):
                break
            address = _address(entry)
            if address is None:
                break
            nearest = address
        return None if nearest is None else str(nearest)

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    def _from_the_right(self, values: Sequence[str]) -> Iterable[str]:
        # A client can open a quotation and never close it. Entries that proxies add contain no comma, so splitting at
        # every comma always finds them whole, and a reader of quotations might not.
        entries = ",".join(values).rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:]
        for entry in reversed(entries):
            if self.header == X_FORWARDED_FOR:
                yield entry
            else:
                found = _FOR.search(entry)
                yield found[1] if found else ""


def _address(text: str) -> _Address | None:
    """The address in `text`, which may carry a port (``192.0.2.1:443``, ``[2001:db8::1]:443``)."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A server that listens on IPv6 sees clients of IPv4 as ::ffff:192.0.2.1, which no rule for IPv4 matches.
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
