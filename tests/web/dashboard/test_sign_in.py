"""Sign-in, sessions and sign-out: who comes in, how it ends, and that all of it is on record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from audit_trail.embedded.broker import Broker
from audit_trail.serving.development_pages import PERSONAS, Persona
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord
from web.authentication.sessions import NAME, SessionTimes
from web.sign_in.routes import ATTEMPT


def types(served: OnRecord, number: int) -> list[str]:
    return [event.type for event in served.events(number)]


def test_a_visitor_is_led_to_the_sign_in_and_back_to_the_page(browser: Browser, served: OnRecord) -> None:
    page = browser.sign_in("auditor", "/explore?patient=17&from=2026-03-01&to=2026-03-01")
    assert page.status_code == 200
    assert str(page.url).endswith("/explore?patient=17&from=2026-03-01&to=2026-03-01")
    assert "Ada Auditor" in page.text
    signed_in, read = served.events(2)
    assert (signed_in.type, signed_in.actor.id, signed_in.actor.name) == (
        "user.logged_in",
        "auditor",
        "Ada Auditor",
    )
    assert read.type == "audit_log.read"
    assert read.attributes["via"] == "dashboard"
    assert read.session == signed_in.session
    assert [patient.id for patient in read.patients] == ["17"]


def test_a_visit_without_a_session_is_no_denied_attempt(browser: Browser, served: OnRecord) -> None:
    browser.get("/")
    browser.get("/patients/17")
    browser.sign_in("auditor")
    assert "access.denied" not in types(served, 2)


def test_the_cookie_is_for_this_server_and_no_script(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        [(_, cookie)] = _cookies(browser.history_of_sign_in, NAME)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert not cookie["domain"]
    assert not cookie["max-age"]


def _cookies(answers: list[httpx2.Response], name: str) -> list[tuple[str, dict[str, object]]]:
    found = []
    for answer in answers:
        for header in answer.headers.get_list("set-cookie"):
            for key, morsel in SimpleCookie(header).items():
                if key.endswith(name) and morsel.value:
                    found.append((key, dict(morsel.items())))
    return found


def test_over_https_the_name_of_the_cookie_binds_it_to_the_host(
    hospital_url: str, broker: Broker, topic: str, tmp_path: Path
) -> None:
    proxy = {"X-Forwarded-Proto": "https", "Host": "trail.example"}
    with dashboard(
        hospital_url, broker.bootstrap_servers, topic, tmp_path, trusted_proxies=["127.0.0.1"]
    ) as served:
        begun = httpx2.get(f"http://127.0.0.1:{served.port}/sign-in", headers=proxy)
    assert begun.status_code == 303
    back = parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"]
    assert back == ["https://trail.example/sign-in/callback"]
    header = begun.headers["set-cookie"]
    assert header.startswith(f"__Host-{ATTEMPT}=")
    assert "; Secure" in header
    assert "Domain" not in header


def test_over_plain_http_from_elsewhere_nobody_signs_in(served: OnRecord) -> None:
    answer = httpx2.get(f"http://127.0.0.1:{served.port}/sign-in", headers={"Host": "trail.example"})
    assert answer.status_code == 400
    assert "needs https" in answer.text


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("code=x&state=another", "not begun in this browser"),
        ("code=x", "not begun in this browser"),
        ("error=access_denied&state={state}", "refused: access_denied"),
        ("code=invented&state={state}", "refused the sign-in"),
    ],
)
def test_a_sign_in_that_fails_is_told_and_recorded(
    browser: Browser, served: OnRecord, query: str, why: str
) -> None:
    begun = browser.get("/sign-in", follow_redirects=False)
    state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
    answer = browser.get(f"/sign-in/callback?{query.format(state=state)}")
    assert answer.status_code == 403
    assert why in answer.text
    [failed] = served.events(1)
    assert (failed.type, failed.outcome.value) == ("user.login_failed", "minor_failure")
    assert why in (failed.outcome_reason or "")
    assert browser.get("/", follow_redirects=False).status_code == 303


def test_a_code_is_used_once(browser: Browser, served: OnRecord) -> None:
    browser.sign_in("auditor")
    [callback] = [each.url for each in browser.history_of_sign_in if "/callback" in str(each.url)]
    with Browser(served) as thief:
        thief.get("/sign-in", follow_redirects=False)
        assert thief.get(str(callback)).status_code == 403


def test_a_sign_in_leads_to_no_other_server(browser: Browser) -> None:
    for elsewhere in ("//evil.example/", "https://evil.example/", "/\\evil.example", "x"):
        page = browser.sign_in("auditor", f"/sign-in?next={elsewhere}")
        assert urlsplit(str(page.url)).path == "/"
        assert page.url.host == "127.0.0.1"


def test_a_cookie_of_another_key_or_with_another_letter_is_no_session(browser: Browser) -> None:
    browser.sign_in("auditor")
    good = browser.cookies[NAME]
    for bad in (good[:-8] + "AAAAAAA=", good[1:], "x", "é", good * 3):
        browser.cookies.set(NAME, bad.encode("ascii", "ignore").decode(), domain="127.0.0.1")
        assert browser.get("/", follow_redirects=False).status_code == 303
    browser.cookies.clear()


def test_the_cookie_of_an_attempt_is_no_session(browser: Browser) -> None:
    browser.get("/sign-in", follow_redirects=False)
    browser.cookies.set(NAME, browser.cookies[ATTEMPT], domain="127.0.0.1")
    assert browser.get("/", follow_redirects=False).status_code == 303


def test_signing_out_ends_the_session_and_is_recorded(browser: Browser, served: OnRecord) -> None:
    browser.sign_in("auditor")
    kept = browser.cookies[NAME]
    page = browser.post("/sign-out", headers=FROM_PAGE)
    assert "Your session has ended" in page.text
    assert NAME not in browser.cookies
    assert "user.logged_out" in types(served, 3)
    # The browser was told to forget the cookie; who kept it has no use of it.
    browser.cookies.set(NAME, kept, domain="127.0.0.1")
    assert browser.get("/", follow_redirects=False).status_code == 303


def test_only_pages_of_this_server_change_anything(browser: Browser, served: OnRecord) -> None:
    browser.sign_in("auditor")
    body = {"query": "{ events(first: 1) { nodes { id } } }"}
    own = f"http://127.0.0.1:{served.port}"
    for status, headers in (
        (403, {"Sec-Fetch-Site": "cross-site"}),
        (403, {"Sec-Fetch-Site": "same-site"}),
        (403, {"Sec-Fetch-Site": "none"}),
        (403, {"Origin": "https://evil.example"}),
        (403, {"Origin": "null"}),
        (403, {}),
        (200, {"Origin": own}),
        (200, FROM_PAGE),
    ):
        answer = browser.post("/graphql", json=body, headers={"Accept": "*/*", **headers})
        assert answer.status_code == status
        if status == 403:
            assert browser.post("/sign-out", headers=headers).status_code == status
    assert browser.post("/sign-out", headers={"Origin": own}).status_code == 200


def test_another_site_may_link_to_a_page_and_not_load_it(browser: Browser) -> None:
    browser.sign_in("auditor")
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert browser.get("/explore", headers=link).status_code == 200
    for dest in ("iframe", "image", "script", "empty"):
        mode = "navigate" if dest == "iframe" else "no-cors"
        loaded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        assert browser.get("/v1/events", headers=loaded).status_code == 403


def test_a_session_has_the_rights_of_its_token_in_the_api(browser: Browser) -> None:
    browser.sign_in("patient-1007")
    assert browser.get("/v1/patients/17", headers=FROM_PAGE).status_code == 403
    assert browser.get("/v1/events", headers=FROM_PAGE).json()["events"] == []


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (SessionTimes(0, 3600), "the session was not used for too long"),
        (SessionTimes(3600, 0.001), "the session has reached its longest time"),
    ],
)
def test_a_session_that_timed_out_leads_to_the_sign_in_and_is_recorded_once(
    hospital_url: str, broker: Broker, topic: str, tmp_path: Path, times: SessionTimes, why: str
) -> None:
    with (
        dashboard(hospital_url, broker.bootstrap_servers, topic, tmp_path, times=times) as served,
        Browser(served) as browser,
    ):
        page = browser.sign_in("auditor")
        assert "Who do you want to be?" in page.text
        browser.get("/explore")
        ended = [event for event in served.events(2) if event.type == "session.ended"]
        assert [event.outcome_reason for event in ended] == [why]
        assert ended[0].actor.id == "auditor"


def test_nobody_else_reaches_the_issuer_at_which_anybody_is_anybody(served: OnRecord) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "[::ffff:8.8.8.8]", ""):
        for path in ("authorize", "token", ".well-known/openid-configuration"):
            method = "POST" if path == "token" else "GET"
            url = f"http://127.0.0.1:{served.port}/development-issuer/{path}"
            assert httpx2.request(method, url, headers={"Host": host}).status_code in {400, 403}


def test_whoever_comes_through_a_proxy_does_not_reach_it_either(
    hospital_url: str, broker: Broker, topic: str, tmp_path: Path
) -> None:
    with dashboard(
        hospital_url, broker.bootstrap_servers, topic, tmp_path, trusted_proxies=["127.0.0.1"]
    ) as served:
        url = f"http://127.0.0.1:{served.port}/development-issuer/authorize"
        assert httpx2.get(url, headers={"X-Forwarded-For": "10.0.0.9"}).status_code == 403


class Clock:
    """The time, and a while ahead."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def timed(hospital_url: str, broker: Broker, topic: str, tmp_path: Path) -> Iterator[tuple[Browser, Clock]]:
    """Somebody at a dashboard where a session ends after ten minutes without use, and the clock of its sessions."""
    clock, times = Clock(), SessionTimes(600, 36_000)
    with (
        dashboard(
            hospital_url, broker.bootstrap_servers, topic, tmp_path, times=times, clock=clock
        ) as served,
        Browser(served) as browser,
    ):
        yield browser, clock


def test_a_page_that_refreshes_itself_keeps_no_session_alive(timed: tuple[Browser, Clock]) -> None:
    browser, clock = timed
    browser.sign_in("auditor")
    clock.ahead = 500
    assert browser.get("/?part=live", headers={"X-Refresh": "1", **FROM_PAGE}).status_code == 200
    assert browser.get("/assets/dashboard.css").headers.get("set-cookie") is None
    clock.ahead = 700
    assert browser.get("/find", follow_redirects=False).status_code == 303


def test_a_person_who_does_something_keeps_the_session(timed: tuple[Browser, Clock]) -> None:
    browser, clock = timed
    browser.sign_in("auditor")
    for seconds in (500, 1000, 1500):
        clock.ahead = seconds
        assert browser.get("/find", follow_redirects=False).status_code == 200


def test_whoever_has_no_role_or_no_session_can_sign_out(browser: Browser) -> None:
    assert "Your session has ended" in browser.post("/sign-out", headers=FROM_PAGE).text
    PERSONAS["nobody"] = Persona("Nobody", {"roles": [], "name": "Nemo"})
    assert browser.sign_in("nobody").status_code == 403
    assert "Your session has ended" in browser.post("/sign-out", headers=FROM_PAGE).text


def test_many_failures_are_few_events_that_say_how_many_there_were(
    browser: Browser, served: OnRecord
) -> None:
    for _ in range(90):
        assert browser.get("/sign-in/callback?state=x").status_code == 403
    time.sleep(1.1)  # there is room for one more in each second
    browser.get("/sign-in/callback?state=x")
    failed = [event for event in served.events(61) if event.type == "user.login_failed"]
    assert 60 < len(failed) < 91
    assert len(failed) + sum(event.attributes.get("left_out", 0) for event in failed) == 91


@pytest.mark.parametrize("host", ["[", "[::1"])
def test_a_host_that_is_none_is_refused(served: OnRecord, host: str) -> None:
    for path in ("/sign-in", "/development-issuer/authorize"):
        answer = httpx2.get(f"http://127.0.0.1:{served.port}{path}", headers={"Host": host})
        assert answer.status_code in {400, 403}


def test_the_way_back_keeps_escapes(browser: Browser) -> None:
    page = browser.sign_in("auditor", "/patients/a%3Fb%2541")
    assert str(page.url).endswith("/patients/a%3Fb%2541")
