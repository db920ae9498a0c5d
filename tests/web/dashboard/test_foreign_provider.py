"""The sign-in at an OpenID provider that others wrote, with PKCE: npm's oidc-provider."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import sync_playwright

from audit_trail.embedded.broker import Broker
from audit_trail.serving.authentication import issued_tokens
from audit_trail.serving.sign_in import sign_in
from audit_trail.settings import Settings
from tests.installed import installed
from tests.node import NODE, copy_scripts
from tests.web.dashboard.people import FROM_PAGE, KEY, Browser
from tests.web.read_audit.recorded_server import OnRecord, on_record
from web.authentication.combined import Authentication

SECRETS = {"with-jwt": "a secret + more: 100%", "with-id-token": None}
EACH = pytest.mark.parametrize("served", SECRETS, indirect=True)


@pytest.fixture
def issuer_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The provider, which waits for the address of the dashboard."""
    copy_scripts([Path(__file__).with_name("provider.mjs")], tmp_path)
    with subprocess.Popen(
        [NODE, "provider.mjs"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        # Leaving the context closes the input, and that ends the provider.


@pytest.fixture
def served(
    request: pytest.FixtureRequest,
    issuer_process: subprocess.Popen[str],
    hospital_url: str,
    broker: Broker,
    topic: str,
) -> Iterator[OnRecord]:
    """A dashboard with the settings of an operator, at that provider."""
    assert issuer_process.stdin is not None
    assert issuer_process.stdout is not None
    issuer = issuer_process.stdout.readline().strip()
    client = getattr(request, "param", "with-jwt")
    settings = Settings(
        auth_issuers=(issuer,),
        dashboard_issuer=issuer,
        dashboard_client_id=client,
        dashboard_client_secret=SECRETS[client],
        dashboard_session_key=KEY,
    )
    tokens = issued_tokens(settings)
    assert tokens is not None
    with on_record(
        hospital_url,
        broker.bootstrap_servers,
        topic,
        web={"topic": topic},
        authenticated=Authentication([tokens]),
        sign_in=sign_in(settings, tokens),
    ) as served:
        issuer_process.stdin.write(f"http://127.0.0.1:{served.port}\n")
        issuer_process.stdin.flush()
        assert issuer_process.stdout.readline() == "ready\n"
        yield served


@pytest.fixture
def browser(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        yield browser


def come_in(browser: Browser, answer: str, path: str = "/") -> httpx2.Response:
    """Open a page, and give the answer to the question of the provider."""
    asked = browser.get(path)
    assert asked.text == "Who are you?"
    return browser.get(f"{asked.url}?{answer}")


@EACH
def test_a_role_of_that_provider_opens_its_pages(browser: Browser, served: OnRecord) -> None:
    page = come_in(browser, "as=ada", "/patients/17")
    assert (page.status_code, page.url.path) == (200, "/patients/17")
    assert "ada of elsewhere" in page.text
    signed_in, read = served.events(2)
    assert (signed_in.type, signed_in.actor.id) == ("user.logged_in", "ada")
    assert [patient.id for patient in read.patients] == ["17"]


@EACH
def test_the_rights_are_those_of_the_role(browser: Browser) -> None:
    come_in(browser, "as=dan")
    assert browser.get("/v1/devices/pump-1", headers=FROM_PAGE).status_code == 200
    assert browser.get("/v1/patients/17", headers=FROM_PAGE).status_code == 403


def test_without_a_role_there_is_nothing_to_see(browser: Browser) -> None:
    come_in(browser, "as=nobody")
    assert browser.get("/v1/events?first=1", headers=FROM_PAGE).status_code == 403


def test_a_denied_sign_in_is_told_and_recorded(browser: Browser, served: OnRecord) -> None:
    page = come_in(browser, "denied=yes")
    assert page.status_code == 403
    assert "refused: access_denied" in page.text
    [failed] = served.events(1)
    assert failed.type == "user.login_failed"


def test_signing_out_ends_the_session_at_the_provider_too(browser: Browser) -> None:
    come_in(browser, "as=ada")
    browser.cookies.delete("audit-trail-session")
    assert browser.get("/").url.path == "/", "the provider knows the person and asks nothing"
    left = browser.post("/sign-out", headers=FROM_PAGE)
    url = left.headers["refresh"].removeprefix("0; url=")
    question = browser.get(url)
    assert "Do you want to sign-out" in question.text
    [action] = re.findall(r'action="([^"]+)"', question.text)
    [secret] = re.findall(r'name="xsrf" value="([^"]+)"', question.text)
    back = browser.post(action, data={"xsrf": secret, "logout": "yes"})
    assert (back.status_code, back.url.path) == (200, "/signed-out")
    assert browser.get("/").text == "Who are you?"


@pytest.mark.needs_program("chromium")
def test_a_real_browser_may_go_to_the_provider_and_back(served: OnRecord) -> None:
    """The policy of the pages forbids none of the steps between the two servers."""
    with (
        sync_playwright() as playwright,
        closing(
            playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        ) as chromium,
    ):
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{served.port}/patients/17")
        page.goto(f"{page.url}?as=ada")
        assert page.url == f"http://127.0.0.1:{served.port}/patients/17"
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Yes, sign me out").click()
        page.wait_for_url(f"http://127.0.0.1:{served.port}/signed-out")
