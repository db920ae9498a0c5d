"""A served trail with shared links, for the tests of their pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha512
from pathlib import Path
from uuid import UUID

import httpx2

from audit_trail.embedded.broker import Broker
from domain.access.principal import Principal, Role
from domain.access.shared_link import SharedLink, shared_event
from domain.event import AuditEvent
from tests.databases import PROJECTED, Databases
from tests.hospital import hospital, read, record
from tests.web.dashboard.people import FROM_PAGE, KEY, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic
from web.authentication.link_tokens import LinkTokens
from web.authentication.sessions import Sessions, SessionTimes

SHOWN = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a71")
OTHER = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a72")
WHY = "For Otto Outside of the inspectorate: <b>case</b> 7"
DAY = "from=2026-03-01&to=2026-03-01&zone=UTC"
TOKENS = LinkTokens(Sessions(KEY, SessionTimes(1800, 36_000)))
MAKER = Principal(
    id="tester", name="Tess Tester", roles=frozenset({Role.AUDITOR}), issuer="https://x.example"
)


LONG = "&".join(f"correlation_id={sha512(b'%d' % number).hexdigest()}" for number in range(99))


@dataclass
class Place:
    """A served trail. Nothing ingests: `settle` brings what was published into it."""

    url: str
    served: OnRecord
    servers: str
    settled: set[UUID] = field(default_factory=set)

    def settle(self) -> list[AuditEvent]:
        """Record what was published since the last call, and return it."""
        new = [each for each in self.served.events() if each.event_id not in self.settled]
        self.settled |= {each.event_id for each in new}
        if new:
            record(self.url, new)
        return new

    def link(self, persona: str = "auditor", *, days: int = 7, **what: str) -> str:
        """The path of a link that somebody makes by the form, and that the trail has."""
        with Browser(self.served) as browser:
            browser.sign_in(persona)
            path = made(browser, days=days, **what)
        self.settle()
        return path

    def forged(self, link: SharedLink) -> str:
        """The path of any link that a holder of the key could make, and that the trail has."""
        record(self.url, [shared_event(link, "a test", by=MAKER)])
        return f"/shared/{TOKENS.make(link)}"

    def position(self, id: UUID) -> int:
        """The position of an event."""
        with Browser(self.served) as browser:
            browser.sign_in("auditor")
            found: int = browser.get(f"/v1/events/{id}", headers=FROM_PAGE).json()["position"]
            return found


def made(browser: Browser, *, days: int = 7, **what: str) -> str:
    """Make a link; its path."""
    data = {"reason": WHY, "days": str(days), **what}
    page = browser.post("/links", data=data, headers=FROM_PAGE)
    assert page.status_code == 201, page.text
    [address] = re.findall(r'<input id="link" value="([^"]+)"', page.text)
    return str(httpx2.URL(address).path)


@contextmanager
def served_place(databases: Databases, broker: Broker, topic: str, folder: Path) -> Iterator[Place]:
    """A trail of its own that is served."""
    make_topic(broker.bootstrap_servers, topic)
    with databases.copy(PROJECTED) as url:
        other = read(60, "99", event_id=OTHER)
        record(
            url,
            [
                *hospital(),
                read(50, session="s-1", event_id=SHOWN),
                other,
                *(read(70, "70") for _ in range(60)),
            ],
        )
        with dashboard(url, broker.bootstrap_servers, topic, folder) as served:
            yield Place(url, served, broker.bootstrap_servers)
