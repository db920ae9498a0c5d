"""The command line: clear words, right exit codes, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_trail.environment import PREFIX
from audit_trail.settings import Settings
from tests.audit_trail.programs import run, start

COMMANDS = [
    "demo",
    "up",
    "migrate",
    "ingest",
    "project",
    "serve",
    "publish",
    "export",
    "settings",
    "dead-letters",
    "projections",
]


def test_a_batch_has_to_hold_one_message_of_the_largest_size() -> None:
    refused = start(
        "ingest",
        settings={
            "database_url": "postgresql://127.0.0.1:1/x",
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "max_message_bytes": str(60 << 20),
            "kafka_max_batch_bytes": str(60 << 20),
        },
    )
    assert refused.returncode == 2
    assert "AUDIT_TRAIL_KAFKA_MAX_BATCH_BYTES is less than" in refused.stderr


def test_help_names_every_command() -> None:
    shown = start("--help")
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert run(command, "--help").returncode == 0


def test_settings_lists_every_setting_with_help() -> None:
    shown = run("settings").stdout
    for name, field in Settings.model_fields.items():
        assert PREFIX + name.upper() in shown
        assert field.description


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "AUDIT_TRAIL_DATABASE_URL is not set"),
        ({"http_port": "many"}, "AUDIT_TRAIL_HTTP_PORT"),
        ({"http_prot": "8000"}, "AUDIT_TRAIL_HTTP_PROT is no setting"),
        ({"settings_file": "missing.toml"}, "there is no such file"),
        ({"kafka_assignment": "some"}, "AUDIT_TRAIL_KAFKA_ASSIGNMENT"),
        ({"trusted_proxies": "10.0.0.0/8, proxy"}, "AUDIT_TRAIL_TRUSTED_PROXIES"),
        ({"database_url": "postgresql://user:hidden-word@127.0.0.1:1/x"}, "the database is away"),
        ({"database_url": "no url hidden-word"}, "the database URL can't be read"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_shown(settings: dict[str, str], says: str) -> None:
    ended = run("migrate", settings=settings)
    assert ended.returncode in (2, 75)
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hidden-word" not in ended.stderr + ended.stdout


def test_a_settings_file_is_read_and_a_variable_goes_before_it(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('database_url = "postgresql://127.0.0.1:1/x"\nkafka_topics = ["a", "b"]\n')
    assert start("migrate", settings={"settings_file": str(file)}).returncode == 75
    done = start("migrate", settings={"settings_file": str(file), "database_url": database_url})
    assert done.returncode == 0, done.stderr
    assert "applied 0001_event_store" in done.stdout


def test_a_broken_file_names_itself_and_the_line(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text('{"a": 1}\n{"b": \n')
    ended = start("publish", file, settings={"kafka_bootstrap_servers": "127.0.0.1:1"})
    assert ended.returncode == 1
    assert f"{file}:2" in ended.stderr.replace("\n", "")


def test_serving_a_database_that_was_not_migrated_says_what_to_run(database_url: str) -> None:
    ended = run("projections", "list", settings={"database_url": database_url})
    assert ended.returncode == 2
    assert "audit-trail migrate" in ended.stderr
