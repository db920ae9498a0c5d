"""Targets as a watcher has stored them, for pages and interfaces that show them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from uuid import uuid4

from event_store.database import WATCHER, Database
from watcher.observations import CheckError, ErrorClass
from watcher.store import WatchStore
from watcher.target_file import parse_targets
from watcher.target_state import State


def know(url: str, at: datetime, reasons: Mapping[str, str]) -> None:
    """Store targets that were checked at this time: each is down for this reason, or up if it has none."""
    lines = "".join(
        f"  - {{name: {name}, owner: team {name}, tcp: {{host: h, port: 1}}}}\n" for name in reasons
    )
    targets = parse_targets(f"targets:\n{lines}", "watch.yaml").targets
    with closing(Database(url, WATCHER)) as database:
        store = WatchStore(database)
        opened = store.open(targets)
        states = {}
        for name, reason in reasons.items():
            state = opened.targets[name].replace(state=State.UP, since=at, checked_at=at)
            if reason:
                state = state.replace(
                    state=State.DOWN,
                    error=CheckError(ErrorClass.STATUS, reason),
                    failing_since=at,
                    failures=3,
                    outage=uuid4(),
                )
            states[name] = state
        store.save(opened.whole._replace(looked_until=at), states, [], watched=targets)
