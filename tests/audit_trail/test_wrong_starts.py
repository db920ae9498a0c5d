"""A part or a command that can't start says in one line which setting is wrong, and exits with 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from audit_trail.embedded.process import WatchedProcess
from audit_trail.settings import load
from audit_trail.stack import Stack
from domain.errors import UnavailableError
from tests.audit_trail.programs import PROGRAM, environment, eventually, run

NOBODY = {"kafka_bootstrap_servers": "127.0.0.1:1"}


@pytest.mark.parametrize(
    "command",
    [["migrate"], ["ingest"], ["project"], ["guard"], ["forward", "status"], ["serve"], ["verify"]],
)
def test_a_database_that_does_not_exist_ends_every_part_with_2(command: list[str], migrated_url: str) -> None:
    name = migrated_url.partition("?")[0].rpartition("/")[2]
    ended = run(*command, settings=NOBODY | {"database_url": migrated_url.replace(name, "nowhere")})
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.splitlines()[-1] == (
        'audit-trail: can\'t connect to the database: database "nowhere" does not exist: check the database URL'
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [["ingest"], ["guard"], ["serve"], ["publish", "--raw", __file__]])
def test_a_wrong_setting_of_kafka_ends_every_part_with_2(command: list[str], migrated_url: str) -> None:
    settings = NOBODY | {
        "database_url": migrated_url,
        "kafka_security_protocol": "SSL",
        "kafka_ssl_cafile": "/missing/ca.pem",
    }
    ended = run(*command, settings=settings)
    assert ended.returncode == 2, ended.stderr
    assert "AUDIT_TRAIL_KAFKA_SSL_CAFILE: /missing/ca.pem can't be read" in " ".join(ended.stderr.split())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"http_host": "192.0.2.1"}, "set AUDIT_TRAIL_HTTP_HOST to an address of this machine"),
        ({"api_tokens_file": "/missing/tokens.toml"}, "/missing/tokens.toml"),
        ({"trusted_documents": "/missing/documents.json"}, "/missing/documents.json"),
        ({"trusted_documents_only": "true"}, "AUDIT_TRAIL_TRUSTED_DOCUMENTS is not set"),
    ],
)
def test_serve_names_the_setting_that_is_wrong(
    migrated_url: str, settings: dict[str, str], says: str
) -> None:
    ended = run("serve", settings=NOBODY | {"database_url": migrated_url} | settings)
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False), ended.stderr
    assert says in ended.stderr


def test_a_defect_ends_with_its_own_code_and_without_a_traceback(tmp_path: Path) -> None:
    """The driver's libraries are hidden: an import fails, as in a broken installation."""
    (tmp_path / "psycopg2.py").write_text("raise RuntimeError('hidden-word')\n")
    shadowed = environment(database_url="postgresql://127.0.0.1:1/x") | {"PYTHONPATH": str(tmp_path)}
    done = WatchedProcess([*PROGRAM, "migrate"], log=tmp_path / "log", environment=shadowed)
    with done:
        assert done.wait(60) == 70
    said = done.log_tail()
    assert said.startswith("audit-trail: a defect, please report it: RuntimeError (")
    assert "Traceback" not in said
    assert "hidden-word" not in said


def test_the_lines_of_the_web_server_are_json_like_the_others(migrated_url: str, tmp_path: Path) -> None:
    settings = {"database_url": migrated_url, "log_format": "json", "http_port": "0"}
    part = WatchedProcess(
        [*PROGRAM, "serve"], log=tmp_path / "log", environment=environment(**NOBODY, **settings)
    )
    with part:
        assert eventually(lambda: "listening" in part.log_tail())
    lines = part.log_tail().splitlines()
    assert lines
    for line in lines:
        assert json.loads(line)["level"]


def test_up_says_that_a_part_had_to_be_ended_by_force(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
        "time.sleep(60)"
    )
    part = WatchedProcess(
        [sys.executable, "-c", stubborn], name="project", log=tmp_path / "project.log", grace=0.2
    )
    stack = Stack(load(), tmp_path, "embedded")
    stack._parts.append(stack._running.enter_context(part))
    assert eventually(lambda: part.log_tail() == "up")
    with pytest.raises(UnavailableError, match=r"project \(exit code 137\) did not stop in time"):
        stack.__exit__(None, None, None)
