"""Records of denied attempts: one event each, and for a flood one event with a count.

A denial is answered at once: it discloses nothing, so nothing has to be durable first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import dataclass
from typing import Any

from msgspec.structs import fields, replace

from domain.access.principal import Principal
from domain.event import Source
from domain.read_audit.events import AccessDetails, denied_event
from domain.read_audit.query_log import NO_QUERIES, LoggedQueries
from web.read_audit.publication import Recording

WINDOW_SECONDS = 60.0
PER_WINDOW = 60
"""Attempts from one address, or of one principal, that are recorded one by one; further ones are counted until the
window ends. A principal has a window of its own, so strangers at the same address do not hide its attempts.
"""
MAX_ADDRESSES = 10_000
"""Addresses with a window of their own; all others share one, so that memory is bounded."""
IN_ALL = 3_000
"""Attempts from all addresses that are recorded one by one: a flood from many addresses does not fill the trail."""
_OTHERS = "other addresses"


@dataclass(slots=True)
class _Window:
    began: float
    ends: asyncio.TimerHandle
    written: int = 0
    counted: int = 0
    common: tuple[Principal | None, AccessDetails, LoggedQueries] | None = None
    """The fields that all counted attempts share."""


class Denials:
    """Records denied attempts. Only for the event loop's thread."""

    def __init__(
        self,
        recording: Recording,
        source: Source,
        *,
        seconds: float = WINDOW_SECONDS,
        most: int = PER_WINDOW,
        addresses: int = MAX_ADDRESSES,
        in_all: int = IN_ALL,
    ) -> None:
        self._recording = recording
        self._source = source
        self._seconds = seconds
        self._most = most
        self._addresses = addresses
        self._left = in_all
        self._windows: dict[str, _Window] = {}

    def add(
        self, principal: Principal | None, details: AccessDetails, denied: LoggedQueries = NO_QUERIES
    ) -> None:
        """Record or count one attempt. `denied`: the queries that were denied."""
        address = network(details.client_address)
        if principal is not None:
            address = f"{principal.issuer or ''} {principal.id} {address}"
        if address not in self._windows and len(self._windows) >= self._addresses:
            address = _OTHERS
        window = self._windows.get(address)
        if window is None:
            ends = asyncio.get_running_loop().call_later(self._seconds, self._end, address)
            window = self._windows[address] = _Window(time.monotonic(), ends)
        if window.written < self._most and self._left > 0:
            window.written += 1
            self._left -= 1
            self._write(principal, details, denied)
        else:
            window.counted += 1
            if window.common is None:
                window.common = principal, details, denied
            else:
                who, how, what = window.common
                window.common = (
                    _same(who, principal),
                    _common(how, details),
                    what if what == denied else NO_QUERIES,
                )

    def close(self) -> None:
        """Record the counts. Call it before the recording is closed."""
        for address in list(self._windows):
            self._end(address)

    def _end(self, address: str) -> None:
        window = self._windows.pop(address)
        window.ends.cancel()
        self._left += window.written
        if window.common is None:
            return
        principal, details, denied = window.common
        seconds = time.monotonic() - window.began
        self._write(principal, details, denied, count=window.counted, seconds=seconds)

    def _write(
        self, principal: Principal | None, details: AccessDetails, denied: LoggedQueries, **many: Any
    ) -> None:
        limit = self._recording.settings.max_bytes
        event = denied_event(principal, details, self._source, denied, max_bytes=limit, **many)
        self._recording.later([event])


def _same(one: Principal | None, other: Principal | None) -> Principal | None:
    """The newer principal, without the fields that differ; None for two principals. One may use several tokens."""
    if one is None or other is None or (one.issuer, one.id) != (other.issuer, other.id):
        return None
    differing = {
        each.name: (one.roles & other.roles if each.name == "roles" else each.default)
        for each in fields(other)
        if getattr(one, each.name) != getattr(other, each.name)
    }
    return replace(other, **differing)


def _common(one: AccessDetails, other: AccessDetails) -> AccessDetails:
    """The newer details, without the fields that differ. Two addresses of one network become the network."""
    differing: dict[str, str | None] = {
        field: None
        for field in ("via", "method", "path", "status", "user_agent", "operation", "document", "reason")
        if getattr(one, field) != getattr(other, field)
    }
    if one.address != other.address:
        differing["address"] = ""
    if one.client_address != other.client_address:
        same = network(one.client_address) == network(other.client_address)
        differing["client_address"] = network(other.client_address) if same else None
    return replace(other, correlation_id="", duration_ms=None, **differing)


def network(address: str | None) -> str:
    """The source of a flood: the address, or for IPv6 the /64 network, which one subscriber owns whole."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
