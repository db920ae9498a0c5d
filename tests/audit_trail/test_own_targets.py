"""The watcher's file of `up` and `demo`."""

from __future__ import annotations

from audit_trail.settings import load
from audit_trail.watching.own_targets import own_targets
from watcher.target_file import parse_targets


def test_each_part_of_the_stack_but_the_watcher_is_a_target_with_the_name_of_the_part() -> None:
    ports = {"guard": 1, "ingest": 2, "forward run": 3, "watch": 4}
    text = own_targets("http://127.0.0.1:8000", ports, load(kafka_topics=("one", "two")))
    found = parse_targets(text, "watch.yaml")
    assert [(each.name, each.kind) for each in found.targets] == [
        ("audit-trail-guard", "http"),
        ("audit-trail-ingest", "http"),
        ("audit-trail-forward", "http"),
        ("audit-trail-serve", "http"),
        ("postgresql", "postgresql"),
        ("kafka", "kafka"),
    ]
