"""Attempts that were denied, put on record: each by itself, and a flood as one event with a count.

An attempt that is denied is answered at once: it was told nothing, so nothing has to be durable first.
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
from domain.read_audit.events import Look, denied_event
from domain.read_audit.query_log import NOTHING, Taken
from web.read_audit.publication import Recording

WINDOW_SECONDS = 60.0
PER_WINDOW = 60
"""Attempts that are told one by one, from one address or of one principal; what comes beyond is counted until the
window ends. A principal is not hidden by strangers who knock from the same address.
"""
MAX_ADDRESSES = 10_000
"""Addresses that are told apart; all others share one count, so that memory is bounded whoever knocks."""
IN_ALL = 3_000
"""Attempts from all addresses that are told one by one: a flood from many addresses fills no trail."""
_OTHERS = "other addresses"


@dataclass(slots=True)
class _Window:
    began: float
    ends: asyncio.TimerHandle
    told: int = 0
    counted: int = 0
    common: tuple[Principal | None, Look, Taken] | None = None
    """What is the same in all that were counted."""


class Denials:
    """Notes denied attempts. Only for the event loop's thread."""

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

    def note(self, principal: Principal | None, look: Look, refused: Taken = NOTHING) -> None:
        """One attempt. `refused`: what was asked in vain."""
        address = network(look.client_address)
        if principal is not None:
            address = f"{principal.issuer or ''} {principal.id} {address}"
        if address not in self._windows and len(self._windows) >= self._addresses:
            address = _OTHERS
        window = self._windows.get(address)
        if window is None:
            ends = asyncio.get_running_loop().call_later(self._seconds, self._end, address)
            window = self._windows[address] = _Window(time.monotonic(), ends)
        if window.told < self._most and self._left > 0:
            window.told += 1
            self._left -= 1
            self._tell(principal, look, refused)
        else:
            window.counted += 1
            if window.common is None:
                window.common = principal, look, refused
            else:
                who, how, what = window.common
                window.common = (
                    _same(who, principal),
                    _common(how, look),
                    what if what == refused else NOTHING,
                )

    def close(self) -> None:
        """Put what was only counted on record; before the recording is closed."""
        for address in list(self._windows):
            self._end(address)

    def _end(self, address: str) -> None:
        window = self._windows.pop(address)
        window.ends.cancel()
        self._left += window.told
        if window.common is None:
            return
        principal, look, refused = window.common
        seconds = time.monotonic() - window.began
        self._tell(principal, look, refused, count=window.counted, seconds=seconds)

    def _tell(self, principal: Principal | None, look: Look, refused: Taken, **many: Any) -> None:
        limit = self._recording.settings.max_bytes
        event = denied_event(principal, look, self._source, refused, max_bytes=limit, **many)
        self._recording.later([event])


def _same(one: Principal | None, other: Principal | None) -> Principal | None:
    """The later principal without what differs, None when they are not the same: one may come with several tokens."""
    if one is None or other is None or (one.issuer, one.id) != (other.issuer, other.id):
        return None
    differing = {
        each.name: (one.roles & other.roles if each.name == "roles" else each.default)
        for each in fields(other)
        if getattr(one, each.name) != getattr(other, each.name)
    }
    return replace(other, **differing)


def _common(one: Look, other: Look) -> Look:
    """The later look without what is not the same in both. Of two addresses of one network it is the network."""
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
    """What a flood comes from: the address, or of IPv6 the /64 that one subscriber has whole."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
