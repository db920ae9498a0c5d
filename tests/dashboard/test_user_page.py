"""How the sessions of a user ended."""

from __future__ import annotations

from dashboard.subjects.user import ends_of_sessions
from tests.hospital import event


def test_a_sign_out_says_more_than_the_end_of_the_session_that_follows_it() -> None:
    given = [
        event("session.ended", 3, session="signed out"),
        event("user.logged_out", 2, session="signed out"),
        event("session.ended", 1, session="unused", reason="no use for 30 minutes"),
        event("session.ended", 0),
    ]
    found = {session: each.type for session, each in ends_of_sessions(given).items()}
    assert found == {"signed out": "user.logged_out", "unused": "session.ended"}
