"""Several `serve` processes with one session key: a session that one of them ends is over in all."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from audit_trail.embedded.broker import Broker
from tests.trail import Trail
from tests.waiting import eventually
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from web.authentication.sessions import NAME


def test_a_sign_out_ends_the_session_in_every_process(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                dashboard(trail.url, broker.bootstrap_servers, topic, tmp_path, web={"token_recheck": 0.5})
            )
            for _ in range(2)
        )
        browser, thief = (stack.enter_context(Browser(each)) for each in (first, second))
        browser.sign_in("auditor")
        thief.cookies.set(NAME, browser.cookies[NAME], domain="127.0.0.1")
        assert thief.get("/find", follow_redirects=False).status_code == 200
        with thief.stream(
            "POST",
            "/graphql",
            json={"query": "subscription { eventRecorded { position } }"},
            headers={"Accept": "text/event-stream", **FROM_PAGE},
        ) as stream:
            assert stream.status_code == 200
            browser.post("/sign-out", headers=FROM_PAGE)
            trail.given(*first.events(3))
            assert "signed out" in "".join(stream.iter_text())
        eventually(lambda: thief.get("/find", follow_redirects=False).status_code == 303)
        ends = [each for each in first.events(3) if each.type in {"user.logged_out", "session.ended"}]
        assert [each.type for each in ends] == ["user.logged_out"]
