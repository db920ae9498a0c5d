"""`audit-trail watch` without its file, and `--once`, which stores nothing and needs neither database nor Kafka."""

from __future__ import annotations

from pathlib import Path

from tests.audit_trail.programs import run
from tests.watcher.watching import service


def test_without_a_file_it_ends_with_2_and_names_the_setting() -> None:
    ended = run("watch", "--once")
    assert (ended.returncode, "AUDIT_TRAIL_WATCH_FILE is not set" in ended.stderr) == (2, True), ended.stderr


def test_once_shows_what_each_check_finds_and_ends_with_1_if_one_failed(tmp_path: Path) -> None:
    with service() as health:
        file = tmp_path / "watch.yaml"
        good = f"targets:\n  - {{name: good, http: {{url: '{health.url}'}}}}\n"
        file.write_text(good, encoding="utf-8")
        settings = {"watch_file": str(file)}
        assert run("watch", "--once", settings=settings).returncode == 0
        file.write_text(good + "  - {name: database, postgresql: {}}\n  - {name: broker, kafka: {}}\n")
        ended = run("watch", "--once", settings=settings)
    assert ended.returncode == 1
    assert [line.split()[:3] for line in ended.stdout.splitlines()[1:]] == [
        ["good", "http", "ok"],
        ["database", "postgresql", "access_refused"],
        ["broker", "kafka", "access_refused"],
    ]
