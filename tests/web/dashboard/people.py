"""A dashboard that is served, and people who sign in at its development issuer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2

from audit_trail.development_issuer import AUDIENCE, ISSUER, PUBLIC, create_issuer
from audit_trail.serving.development_pages import PERSONAS, DevelopmentProvider, Persona
from tests.web.read_audit.recorded_server import OnRecord, on_record
from web.authentication.bearer import IssuedTokens
from web.authentication.combined import Authentication
from web.authentication.key_sets import FileKeys
from web.authentication.sessions import Sessions, SessionTimes
from web.dashboard.install import SignIn
from web.http.page_paths import DEVELOPMENT
from web.sign_in.provider import Provider, ProviderSettings

CLIENT = "the-dashboard"
# The patient of the hospital's trail.
PERSONAS["patient-17"] = Persona(
    "Patient 17", {"roles": ["patient"], "patient": "17", "name": "Patty Seventeen"}
)
# The user of the hospital's trail.
PERSONAS["ada"] = Persona("Ada", {"roles": ["clinician"], "name": "Ada Example"})
KEY = "a key that only the tests know, and know well"
FROM_PAGE = {"Sec-Fetch-Site": "same-origin"}


@contextmanager
def dashboard(
    url: str,
    servers: str,
    topic: str,
    folder: Path,
    *,
    times: SessionTimes | None = None,
    clock: Callable[[], float] = time.time,
    web: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[OnRecord]:
    """A server with a dashboard; its provider is its own development issuer."""
    create_issuer(folder)
    settings.setdefault("export_folder", folder / "exports")
    tokens = IssuedTokens({ISSUER: FileKeys(folder / PUBLIC)}, [AUDIENCE])
    later = _Later(ProviderSettings(issuer=ISSUER, client_id=CLIENT))
    sign_in = SignIn(
        provider=later,
        tokens=tokens,
        sessions=Sessions(KEY, times or SessionTimes(1800, 36_000), clock=clock),
        routes=DevelopmentProvider(folder, CLIENT).routes(),
    )
    with on_record(
        url,
        servers,
        topic,
        web={"topic": topic, **(web or {})},
        authenticated=Authentication([tokens]),
        sign_in=sign_in,
        **settings,
    ) as served:
        base = f"http://127.0.0.1:{served.port}{DEVELOPMENT}"
        later.settings = ProviderSettings(
            issuer=ISSUER, client_id=CLIENT, metadata=f"{base}.well-known/openid-configuration"
        )
        yield served


class _Later(Provider):
    """A provider whose address is known only once the server listens."""


class Browser(httpx2.Client):
    """Keeps cookies and follows redirects, as a browser does, and says that its pages ask."""

    def __init__(self, served: OnRecord) -> None:
        super().__init__(
            base_url=f"http://127.0.0.1:{served.port}",
            timeout=30,
            follow_redirects=True,
            headers={"Accept": "text/html"},
        )
        self.history_of_sign_in: list[httpx2.Response] = []

    def sign_in(self, persona: str, path: str = "/") -> httpx2.Response:
        """Open `path`, choose a persona, and come back to it."""
        page = self.get(path)
        links = [unescape(each) for each in re.findall(r'href="(\?[^"]+)"', page.text)]
        [link] = [each for each in links if unquote(each).endswith(f"persona={persona}")]
        answer = self.get(f"{DEVELOPMENT}authorize{link}")
        self.history_of_sign_in = [*page.history, *answer.history, answer]
        return answer
