"""Attempts that were denied, put on record: each by itself, and a flood as one event with a count.

An attempt that is denied is answered at once: it was told nothing, so nothing has to be durable first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import dataclass

from msgspec.structs import replace

from domain.access.looks import Look, denied_event
from domain.access.principal import Principal
from domain.event import Source
from web.recording import Recording

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
    last: tuple[Principal | None, Look] | None = None


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

    def note(self, principal: Principal | None, look: Look) -> None:
        """One attempt."""
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
            self._recording.later([denied_event(principal, look, self._source)])
        else:
            window.counted += 1
            window.last = (principal, look)

    def close(self) -> None:
        """Put what was only counted on record; before the recording is closed."""
        for address in list(self._windows):
            self._end(address)

    def _end(self, address: str) -> None:
        window = self._windows.pop(address)
        window.ends.cancel()
        self._left += window.told
        if window.last is None:
            return
        count = window.counted
        principal, look = window.last
        if count > 1:  # what differs from one to the other is not told
            principal = None
            look = replace(look, operation=None, document=None, path=None, method=None)
        if address == _OTHERS:
            look = replace(look, client_address=None, user_agent=None)
        seconds = time.monotonic() - window.began
        self._recording.later([denied_event(principal, look, self._source, count=count, seconds=seconds)])


def network(address: str | None) -> str:
    """What a flood comes from: the address, or of IPv6 the /64 that one subscriber has whole."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
