"""What a shared link shows and to whom, that nothing else can be reached with it, and what is on record of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from msgspec.structs import replace

from audit_trail.embedded.broker import Broker
from domain.access.principal import Role
from domain.access.shared_link import EventPlace, ListRange, SharedLink, share
from queries.cursors import encode_cursor
from tests.databases import Databases
from tests.hospital import at
from tests.web.conftest import NO_DATABASE
from tests.web.dashboard.link_place import (
    DAY,
    LONG,
    MAKER,
    OTHER,
    SHOWN,
    TOKENS,
    WHY,
    Place,
    made,
    served_place,
)
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from web.authentication.link_tokens import LinkTokens
from web.authentication.sessions import Sessions, SessionTimes


def actions(page: httpx2.Response) -> list[str]:
    """Where a page leads, and what it loads beside its own files."""
    found = re.findall(r'(?:href|action|src|data-[a-z]+)="([^"]*)"', page.text)
    return [each for each in found if each.startswith(("/", "?", "http")) and not each.startswith("/assets/")]


@pytest.fixture(scope="module")
def place(databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served_place(databases, broker, "links", tmp_path_factory.mktemp("issuer")) as place:
        yield place


@pytest.fixture
def stranger(place: Place) -> Iterator[Browser]:
    """Somebody without an account."""
    with Browser(place.served) as browser:
        yield browser


def test_a_link_to_an_event_shows_it_with_its_proof_and_leads_nowhere(
    place: Place, stranger: Browser
) -> None:
    path = place.link(event=str(SHOWN))
    page = stranger.get(path)
    assert page.status_code == 200
    assert "Ada Example" in page.text
    assert "Ada Auditor shared this page with you until" in page.text
    assert set(actions(page)) == {"?part=stored", "?part=proof", "?part=keys", "?part=message"}
    assert "<nav" not in page.text
    for name, value in (
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-robots-tag", "noindex, nofollow"),
    ):
        assert page.headers[name] == value
    assert b"0c5f6f0f1a71" in stranger.get(f"{path}?part=stored").content
    assert stranger.get(f"{path}?part=proof&head=newest").text.startswith("c2sp.org/tlog-proof@v1")
    assert stranger.get(f"{path}?part=keys").text.count("+") >= 2


def test_a_link_to_a_list_shows_its_pages_and_its_number(place: Place, stranger: Browser) -> None:
    path = place.link(list=f"patient=70&{DAY}")
    first = stranger.get(path)
    assert "60 events match" in first.text
    assert first.text.count("<tr>") == 51
    [older] = re.findall(r'href="(\?[^"]+)">Older', first.text)
    second = stranger.get(f"{path}{older.replace('&amp;', '&')}")
    assert second.text.count("<tr>") == 11
    assert "60 events match" in second.text
    for page in (first, second):
        assert all(each.startswith("?") for each in actions(page))
        assert '<nav aria-label="Pages"' not in page.text
        assert "99" not in re.findall(r"patient ([0-9]+)", page.text)
    oldest = stranger.get(f"{path}?order=oldest&zone=Asia/Tokyo")
    assert "2026-03-01 18:10:00" in oldest.text


def test_a_link_and_its_uses_are_on_record_and_its_token_is_not(place: Place, stranger: Browser) -> None:
    place.settle()
    path = place.link(event=str(SHOWN), days=30)
    stranger.get(path)
    stranger.get(f"/x{path}")  # copied wrongly: this is no page
    stranger.get(f"{path}x")
    uses = place.settle()
    every = place.served.events()
    shared = [each for each in every if each.type == "link.shared"][-1]
    assert (shared.actor.name, shared.reason) == ("Ada Auditor", WHY)
    assert [(each.type, each.id) for each in shared.resources][1:] == [("AuditEvent", str(SHOWN))]
    assert [each.id for each in shared.patients] == ["17"]
    id = shared.resources[0].id
    until = datetime.fromisoformat(shared.attributes["until"])
    assert timedelta(days=30) == until - shared.occurred_at
    [use] = [each for each in uses if each.type == "audit_log.read"]
    assert use.attributes["via"] == "link"
    assert use.attributes["link"] == {"id": id, "maker": shared.actor.id}
    assert (use.actor.id, use.actor.name, use.session) == (f"link:{id}", f"link {id} of Ada Auditor", id)
    assert (use.resources[0].id, use.request and use.request.path) == ("/shared", "/shared")
    assert [each.id for each in use.patients] == ["17"]
    denied = [each for each in uses if each.type == "access.denied"]
    assert sorted(each.request.path or "" for each in denied if each.request) == ["/shared", "/x/shared/..."]
    token = path.removeprefix("/shared/")
    assert all(token[:60] not in str(each) for each in every)


def test_nothing_else_is_reached_with_a_link(place: Place, stranger: Browser) -> None:
    path = place.link(event=str(SHOWN))
    token = path.removeprefix("/shared/")
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"Cookie": f"audit-trail-session={token}"},
        {"Referer": f"http://127.0.0.1{path}"},
    ):
        query = {"query": "{ events(first: 1) { nodes { eventId } } }"}
        assert stranger.post("/graphql", json=query, headers=headers).status_code == 401
        for other in (
            "/v1/events",
            f"/v1/events/{SHOWN}",
            f"/v1/events/{SHOWN}/proof",
            "/v1/export?format=csv",
            "/log/checkpoint",
            "/metrics",
        ):
            assert stranger.get(other, headers={"Accept": "*/*", **headers}).status_code == 401, other
        for page in (f"/events/{SHOWN}", f"/events/{SHOWN}/stored", "/explore", "/patients/17", "/links"):
            answer = stranger.get(page, headers=headers, follow_redirects=False)
            assert answer.status_code in {303, 401}, page
    for changed in (
        f"?part=stored&event={OTHER}",
        f"?event={OTHER}",
        "?position=0",
        "?position_from=0",
        "?patient=99",
        "?from=2020-01-01",
        "?last=7d",
        "?after=x",
        "?part=live",
        "?part=page&part=stored",
    ):
        assert stranger.get(f"{path}{changed}").status_code == 400, changed
    for below in ("/stored", "/", f"/events/{OTHER}", "/../explore", "%2F..%2Fexplore", "x"):
        assert stranger.get(f"{path}{below}").status_code in {303, 403}, below
    for method in ("POST", "PUT", "DELETE"):
        assert stranger.request(method, path).status_code in {403, 405}


def test_the_parameters_of_a_list_can_not_be_widened(place: Place, stranger: Browser) -> None:
    path = place.link(list=f"patient=17&type=record.read&{DAY}")
    [number] = re.findall(r"([0-9]+) events match", stranger.get(path).text)
    for changed in (
        "patient=99",
        "type=api.called",
        "from=2020-01-01",
        "filter={}",
        "not_type=x",
        "part=stored",
    ):
        assert stranger.get(f"{path}?{changed}").status_code == 400, changed
    # A cursor only moves within the list.
    for cursor in (place.position(OTHER), 0, 10**9):
        page = stranger.get(f"{path}?before={quote(encode_cursor(cursor))}")
        assert page.status_code == 200
        assert f"{number} events match" in page.text
        assert "patient 99" not in page.text
        assert "patient 70" not in page.text


def test_a_text_that_was_changed_or_has_another_purpose_is_no_link(place: Place, stranger: Browser) -> None:
    token = place.link(event=str(SHOWN)).removeprefix("/shared/")
    with Browser(place.served) as browser:
        browser.sign_in("auditor")
        session = browser.cookies["audit-trail-session"]
    foreign = LinkTokens(Sessions("another key, which is quite long too", SessionTimes(1, 1)))
    link = TOKENS.read(token)
    assert link is not None
    wrong = (
        "",
        "x",
        token[:-1],
        f"{token[:50]}{'A' if token[50] != 'A' else 'B'}{token[51:]}",
        session,
        foreign.make(link),
        "é",
        "A" * 5000,
    )
    for text in wrong:
        page = stranger.get(f"/shared/{quote(text)}")
        assert page.status_code == 403, text
        assert "This link is not right" in page.text
        assert page.headers["x-robots-tag"] == "noindex, nofollow"
    assert "This link is not right" in stranger.get("/shared").text
    stranger.cookies.set("audit-trail-session", token)
    assert "Who do you want to be" in stranger.get("/").text


def test_who_is_signed_in_sees_a_link_with_its_rights_alone(place: Place) -> None:
    path = place.link(event=str(SHOWN))
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for persona in ("operator", "analyst", "auditor"):
        with Browser(place.served) as browser:
            browser.sign_in(persona)
            place.settle()
            page = browser.get(path, headers=elsewhere)
            assert page.status_code == 200
            assert "Ada Example" in page.text
            assert set(actions(page)) == {"?part=stored", "?part=proof", "?part=keys", "?part=message"}
            assert "set-cookie" not in page.headers
            assert {each.actor.kind.value for each in place.settle()} == {"unknown"}


def test_a_link_counts_once_the_trail_has_it_and_until_its_revocation_is_there(
    place: Place, stranger: Browser, tmp_path: Path
) -> None:
    with Browser(place.served) as browser:
        browser.sign_in("auditor")
        path = made(browser, event=str(SHOWN))
        page = stranger.get(path)
        assert (page.status_code, "Not yet" in page.text) == (403, True)
        place.settle()
        assert stranger.get(path).status_code == 200
        listed = browser.get("/links").text
        [revoke, *_] = re.findall(r'action="(/links/[0-9a-f]+/revoke)"', listed)
        assert browser.post(revoke).status_code == 403  # not from a page of this server
        assert "is revoked" in browser.post(revoke, headers=FROM_PAGE).text
        place.settle()
        assert "revoked by Ada Auditor" in browser.get("/links").text
        before = len(place.served.events())
        browser.post(revoke, headers=FROM_PAGE)  # a second time changes nothing
        assert not [each for each in place.served.events()[before:] if each.type == "link.revoked"]
    with dashboard(place.url, place.servers, "links", tmp_path) as another, Browser(another) as elsewhere:
        for reader in (stranger, elsewhere):
            page = reader.get(path)
            assert (page.status_code, "This link was revoked" in page.text) == (410, True)
    refused = [each for each in place.settle() if each.type == "access.denied"][-1]
    assert (refused.actor.id or "").startswith("link:")
    assert refused.outcome_reason == "this link was revoked"


def test_a_link_is_refused_while_the_trail_can_not_be_asked(
    place: Place, broker: Broker, tmp_path: Path
) -> None:
    path = place.link(event=str(SHOWN))
    with dashboard(NO_DATABASE, broker.bootstrap_servers, "links", tmp_path) as away, Browser(away) as reader:
        page = reader.get(path)
    assert page.status_code == 503
    assert "The trail can&#39;t be asked" in page.text


def a_link(**changes: Any) -> SharedLink:
    what: Any = changes.pop("what", ListRange((), at(0), at(60)))
    now = datetime.now(UTC)
    made = share(MAKER, what, days=7, at=now, zone="UTC")
    return replace(made, **changes)


def test_a_link_ends(place: Place, stranger: Browser) -> None:
    now = datetime.now(UTC)
    assert stranger.get(place.forged(a_link())).status_code == 200
    for link in (
        a_link(until=now - timedelta(seconds=1)),
        # Whatever its token says, no link is older than the setting allows.
        a_link(made=now - timedelta(days=30, seconds=1), until=now + timedelta(days=1)),
    ):
        page = stranger.get(place.forged(link))
        assert (page.status_code, "This link has expired" in page.text) == (410, True)
    assert a_link().ends(0) <= datetime.now(UTC)  # links are switched off


def test_a_reader_sees_no_more_than_the_roles_of_the_maker(place: Place, stranger: Browser) -> None:
    shown = EventPlace(SHOWN, place.position(SHOWN))
    path = place.forged(a_link(what=shown, roles=frozenset({Role.ANALYST})))
    page = stranger.get(path)
    assert page.status_code == 200
    assert "Ada Example" not in page.text
    assert "Parts of this event are hidden" in page.text
    assert stranger.get(f"{path}?part=stored").status_code == 403
    assert stranger.get(place.forged(a_link(what=shown, roles=frozenset()))).status_code == 403
    for role in (Role.OPERATOR, Role.PUBLISHER, Role.CLINICIAN, Role.PATIENT):
        assert stranger.get(place.forged(a_link(roles=frozenset({role})))).status_code == 403, role
    # An event of another id at that place, or of that id at another place, does not exist.
    for wrong in (EventPlace(uuid4(), shown.position), EventPlace(SHOWN, shown.position + 1)):
        path = place.forged(a_link(what=wrong))
        for part in ("", "?part=stored", "?part=proof"):
            assert stranger.get(f"{path}{part}").status_code == 404


def test_only_some_roles_share_and_only_some_revoke_the_links_of_others(place: Place) -> None:
    mine = place.link(event=str(SHOWN))
    [id] = {each.resources[0].id for each in place.served.events() if each.type == "link.shared"} & {
        (TOKENS.read(mine.removeprefix("/shared/")) or a_link()).id
    }
    for persona in ("security-officer", "analyst", "n.nightshift", "patient-1007", "operator"):
        with Browser(place.served) as browser:
            browser.sign_in(persona)
            for path in ("/links", f"/links/new?event={SHOWN}", f"/links/new?{DAY}"):
                assert browser.get(path).status_code == 403
            data = {"reason": WHY, "days": "7", "event": str(SHOWN)}
            assert browser.post("/links", data=data, headers=FROM_PAGE).status_code == 403
            assert browser.post(f"/links/{id}/revoke", headers=FROM_PAGE).status_code == 403
            assert "/links/new" not in browser.get(f"/explore?{DAY}").text
    with Browser(place.served) as browser:
        browser.sign_in("privacy-officer")
        theirs = made(browser, list=f"actor=bob&{DAY}")
        place.settle()
        page = browser.get("/links").text
        assert "All links that were made" in page
        assert "Ada Auditor" in page
        assert "Paul Privacy" in page
        assert "&lt;b&gt;case&lt;/b&gt;" in page
        browser.post(f"/links/{id}/revoke", headers=FROM_PAGE)
        other = TOKENS.read(theirs.removeprefix("/shared/"))
    place.settle()
    with Browser(place.served) as browser:
        browser.sign_in("auditor")
        assert "revoked by Paul Privacy" in browser.get("/links").text
        assert "Paul Privacy</td>" not in browser.get("/links").text
        assert other is not None
        assert browser.post(f"/links/{other.id}/revoke", headers=FROM_PAGE).status_code == 403
        assert browser.post("/links/0000000000000000/revoke", headers=FROM_PAGE).status_code == 404


def test_the_list_of_links_counts_their_uses(place: Place, stranger: Browser) -> None:
    path = place.link(list=f"actor=bob&{DAY}")
    for _ in range(3):
        stranger.get(path)
    place.settle()
    link = TOKENS.read(path.removeprefix("/shared/"))
    assert link is not None
    with Browser(place.served) as browser:
        browser.sign_in("auditor")
        page = browser.get("/links").text
        assert f'aria-label="3 uses of the link {link.id}"' in page
        assert "actor bob" in page


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"reason": " ", "event": str(SHOWN)}, 400, "say for whom and why"),
        ({"reason": "x" * 1001, "event": str(SHOWN)}, 400, "say for whom and why"),
        ({"days": "0", "event": str(SHOWN)}, 400, "a number from 1 to 30"),
        ({"days": "31", "event": str(SHOWN)}, 400, "a number from 1 to 30"),
        ({"days": "7.5", "event": str(SHOWN)}, 400, "a number from 1 to 30"),
        ({"event": str(uuid4())}, 404, "Nothing is recorded"),
        ({"event": "x"}, 400, "not an event id"),
        ({"list": "nonsense=1"}, 400, "no such filter"),
        ({"list": "from=yesterday"}, 400, "write a day"),
        ({"list": "purpose=TREAT&from=2020-01-01&to=2026-03-02"}, 409, "range of times"),
        ({"list": LONG}, 400, "too long for a link"),
    ],
)
def test_a_form_that_is_wrong_makes_no_link(
    place: Place, form: dict[str, str], status: int, said: str
) -> None:
    with Browser(place.served) as browser:
        browser.sign_in("auditor")
        page = browser.post("/links", data={"reason": WHY, "days": "7", **form}, headers=FROM_PAGE)
    assert page.status_code == status
    assert said in page.text


def test_the_form_fixes_the_range_of_a_list(place: Place) -> None:
    with Browser(place.served) as browser:
        browser.sign_in("auditor")
        explorer = browser.get("/explore?last=24h&type=api.called").text
        [link] = re.findall(r'href="([^"]+)">Share this list', explorer)
        page = browser.get(link.replace("&amp;", "&")).text
        [pairs] = re.findall(r'name="list" value="([^"]+)"', page)
        assert "last=" not in pairs
        assert "from=20" in pairs
        assert "type=api.called" in pairs
        assert f"/links/new?event={SHOWN}" in browser.get(f"/events/{SHOWN}").text


def test_who_guesses_has_to_wait(broker: Broker, place: Place, tmp_path: Path) -> None:
    with (
        dashboard(place.url, broker.bootstrap_servers, "links", tmp_path) as served,
        httpx2.Client(base_url=f"http://127.0.0.1:{served.port}") as guesser,
    ):
        before = guesser.get("/shared/x")
        endpoint = served.app.routes[0].endpoint  # type: ignore[attr-defined]
        for _ in range(1000):  # faster than a slow machine takes requests
            endpoint.rates.failures.take("127.0.0.1")
        after = guesser.get("/shared/x")
    assert (before.status_code, after.status_code) == (403, 429)
    assert int(after.headers["retry-after"]) >= 1
