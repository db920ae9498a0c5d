"""One rule for every command: a wrong option, argument or setting ends it with 2, a "no" with 1."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
import typer

from audit_trail.cli import app, run
from audit_trail.environment import PREFIX
from tests.audit_trail.programs import environment
from tests.databases import PROJECTED, Databases

DECISION = ("--by", "n.operator", "--reason", "a test")
SETTINGS = {"kafka_bootstrap_servers": "127.0.0.1:1", "publish_timeout_seconds": "1"}

WRONG = (
    ("token", "--role", "nobody"),
    ("token", "--role", "patient"),
    ("token", "--role", "auditor", "--patient", " "),
    ("token", "--role", "auditor", "--minutes", "many"),
    ("token", "--role", "auditor", "--data", "{folder}"),
    ("verify", "--since", "-1"),
    ("verify", "--since", "9"),
    ("verify", "--jobs", "65"),
    ("verify", "--vkey", "no key"),
    ("verify", "--tree-head", "{folder}/missing"),
    ("witness", "--data", "{folder}/data", "--key", "{folder}/missing", "--log", "no key"),
    ("witness", "--data", "{folder}/data", "--key", "{folder}/empty", "--log", "no key"),
    ("witness", "--data", "{folder}/data", "--key", "{folder}/empty", "--log", "@{folder}/missing"),
    ("evidence", "--out", "{folder}/kit"),
    ("evidence", "--out", "{folder}/kit", "--event", "no-id"),
    ("evidence", "--out", "{folder}/kit", "--event", "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01"),
    ("evidence", "--out", "{folder}/kit", "--from", "soon"),
    ("evidence", "--out", "{folder}/kit", "--action", "READ"),
    ("evidence", "--out", "{folder}/kit", "--outcome", "fine"),
    ("evidence", "--out", "{folder}/empty", "--patient", "17"),
    ("health", "nobody"),
    ("health", "ingest"),
    ("export", "{folder}/rows"),
    ("export", "{folder}/rows.csv", "--format", "xml"),
    ("export", "{folder}/rows.csv", "--from", "soon", "--unrecorded", "a test"),
    ("export", "{folder}/rows.csv", "--action", "READ", "--unrecorded", "a test"),
    ("export", "{folder}/rows.csv", "--category", "fun", "--unrecorded", "a test"),
    ("export", "{folder}/rows.csv", "--patient", "", "--unrecorded", "a test"),
    ("export", "{folder}/rows.csv", "--resource-id", "o-1", "--unrecorded", "a test"),
    ("export", "{folder}/rows.csv", "--where", "x", "--table", "patient_access"),
    ("export", "{folder}/rows.csv", "--where", "x=1"),
    ("export", "{folder}/rows.csv", "--table", "nowhere", "--unrecorded", "a test"),
    ("export", "{folder}/rows.csv", "--table", "patient_access", "--where", "x=1", "--unrecorded", "a test"),
    ("export", "-", "--format", "csv", "--resume", "--unrecorded", "a test"),
    ("detect", "test", "{folder}/missing"),
    ("detect", "test", "{folder}/empty"),
    ("detect", "run", "--rule", "{folder}/empty"),
    ("detect", "run", "--since", "soon"),
    ("detect", "status", "now"),
    ("detect", "pack", "{folder}/empty/rules"),
    ("demo", "--no-such-option"),
    ("up", "--broker", "none"),
    ("migrate", "--owner", "somebody"),
    ("ingest", "now"),
    ("project", "now"),
    ("guard", "now"),
    ("serve", "now"),
    ("publish", "{folder}/missing"),
    ("publish", "{folder}/empty", "--topic", "no topic"),
    ("settings", "now"),
    ("dead-letters", "list", "--limit", "0"),
    ("dead-letters", "show", "many"),
    ("dead-letters", "show", "7", "--unrecorded", "a test"),
    ("dead-letters", "requeue", "7", *DECISION),
    ("dead-letters", "dismiss", "7", *DECISION),
    ("findings", "list", "--limit", "1001"),
    ("findings", "close", "0", *DECISION),
    ("findings", "close", "7", *DECISION),
    ("findings", "close", "7", "--by", " ", "--reason", "a test"),
    ("watch", "--once"),
    ("context", "load", "staff", "{folder}/missing.csv", *DECISION),
    ("context", "load", "stuff", "staff.csv", *DECISION),
    ("context", "load", "staff", "staff.csv", "--by", " ", "--reason", "a test"),
    ("context", "check", "rosters", "rosters.csv", "--format", "fhir"),
    ("context", "check", "staff", "staff.json"),
    ("context", "list", "stuff"),
    ("context", "show", "staff", "--version", "0"),
    ("context", "publish", "now"),
    ("review", "begin", "--name", "a"),
    ("review", "list", "all"),
    ("review", "show", "one"),
    ("review", "decide", "one", "1"),
    ("review", "reassign", "one", "1"),
    ("review", "close", "one"),
    ("review", "export", "one"),
    ("forward", "run"),
    ("forward", "test", "siem"),
    ("forward", "status", "siem"),
    ("forward", "pause", "siem", *DECISION),
    ("forward", "pause", "siem", "--by", " ", "--reason", "a test"),
    ("forward", "resume", "siem", *DECISION),
    ("forward", "skip", "siem", "many", *DECISION),
    ("forward", "skip", "siem", "7", *DECISION),
    ("forward", "refused", "siem", "7"),
    ("forward", "requeue", "siem", "7", *DECISION),
    ("forward", "dismiss", "siem", "-7", *DECISION),
    ("offsets", "list", "now"),
    ("offsets", "accept", *DECISION),
    ("offsets", "accept", *DECISION, "--all", "--topic", "x"),
    ("offsets", "accept", "--by", " ", "--reason", "a test", "--all"),
    ("projections", "list", "now"),
    ("projections", "status", "nowhere"),
    ("projections", "rebuild"),
    ("projections", "rebuild", "nowhere"),
    ("projections", "rebuild", "user", "--all"),
    ("projections", "rebuild", "user", "--jobs", "-1"),
    ("projections", "verify", "nowhere"),
    ("projections", "switch", "nowhere"),
    ("projections", "switch", "user", "--to", "9"),
    ("projections", "drop", "nowhere"),
    ("projections", "drop", "user", "--wait", "-1"),
    ("projections", "pause", "nowhere"),
    ("projections", "resume", "nowhere"),
    ("projections", "reset", "nowhere"),
    ("projections", "retry", "nowhere"),
    ("projections", "skip", "nowhere", "--position", "0", *DECISION),
    ("projections", "new", "No Name", "--folder", "{folder}"),
    ("projections", "run", "user"),
    ("projections", "remove", "user", *DECISION),
    ("keys", "new", "{folder}/key", "--name", "no name"),
    ("keys", "new", "{folder}/empty", "--name", "log.example"),
    ("keys", "show", "{folder}/missing"),
    ("keys", "show", "{folder}/empty"),
    ("keys", "adopt", "now"),
    ("graphql", "schema", "now"),
    ("graphql", "documents", "{folder}/missing"),
    ("graphql", "documents", "{folder}/none"),
    ("tokens", "new", "--name", "", "--role", "publisher", "--file", "{folder}/tokens"),
    ("tokens", "new", "--name", "m", "--role", "patient", "--file", "{folder}/tokens"),
    ("tokens", "new", "--name", "m", "--role", "publisher", "--expires", "soon", "--file", "{folder}/tokens"),
    ("tokens", "list"),
    ("tokens", "revoke", "abcdefghijkl", "--file", "{folder}/empty"),
    ("access", "decide", "--patient", "17", "--names", "--reason", " "),
    ("access", "decide", "--patient", "a" * 600, "--names", "--reason", "a test"),
    ("access", "decide", "--patient", "17", "--names", "--reason", "a test", "--until", "soon"),
    ("access", "decide", "--patient", "17", "--names", "--reason", "a test", "--until", "2026-03-01"),
)
"""Command lines that are wrong, whatever the database and Kafka hold. `{folder}` has the file `empty`."""

NO = (
    ("publish", "{folder}/empty"),
    ("publish", "{folder}/broken.json"),
    ("publish", "{folder}/no-event.json"),
    ("evidence", "--out", "{folder}/kit", "--patient", "nobody"),
    ("graphql", "documents", "{folder}/broken.graphql"),
)
"""Command lines that are right, and whose answer is no."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "none").mkdir()
    (folder / "empty").write_text("")
    (folder / "broken.json").write_text("{")
    (folder / "no-event.json").write_text("{}")
    (folder / "broken.graphql").write_text("{ nowhere }")
    return folder


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.copy(PROJECTED) as url:
        yield url


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command sets up the logging of its process, which is that of all later tests here."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def ended(
    url: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """`ended(words)` runs a command in this process: its exit code, and what it says on standard error."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    for name, value in environment(**SETTINGS, database_url=url).items():
        monkeypatch.setenv(name, value)

    def end(words: tuple[str, ...]) -> tuple[int, str]:
        code = run([word.replace("{folder}", str(folder)) for word in words])
        said = capfd.readouterr().err
        assert said.count("\n") < 8
        assert not any(each in said for each in ("Traceback", "is no setting", "Value error", "<Action"))
        return code, said

    return end


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_what_is_wrong_on_the_command_line_ends_every_command_with_2(
    ended: Callable[..., tuple[int, str]], words: tuple[str, ...]
) -> None:
    code, said = ended(words)
    assert code == 2, said


@pytest.mark.parametrize("words", NO, ids=" ".join)
def test_a_no_ends_a_command_with_1(ended: Callable[..., tuple[int, str]], words: tuple[str, ...]) -> None:
    code, said = ended(words)
    assert code == 1, said


def test_every_command_is_asked_something_wrong() -> None:
    asked = {words[:number] for words in WRONG for number in (1, 2)}
    assert set(commands(app)) <= asked


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield (*path, command.name or command.callback.__name__)
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, (*path, inner.name) if inner.name else path)
