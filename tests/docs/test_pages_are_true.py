"""What README and docs tell a reader to type is typed here, on a real stack, and answers what they say."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from audit_trail.docs import reference
from audit_trail.docs.event_schema import event_schema
from audit_trail.environment import PREFIX
from audit_trail.settings import Settings
from audit_trail.stack import Stack
from domain.catalogue import CATALOGUE
from domain.errors import Reason
from domain.event import AuditEvent
from tests.docs.pages import (
    ROOT,
    Answer,
    Command,
    answered_queries,
    answers_as_shown,
    commands,
    differs,
    pages,
    queries,
)
from tests.docs.typed_commands import Typed

_URL = "http://127.0.0.1:8000"
_PATIENCE = 15.0
"""Seconds: what was published is answered for a moment later, and a machine may be busy."""

_RUNNABLE = [page for page in pages() if commands(page)]
_ANSWERED = {(page, answer.line) for page in pages() for answer in answered_queries(page)}
_QUERIES = [
    (page, line, query) for page in pages() for line, query in queries(page) if (page, line) not in _ANSWERED
]


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Reader:
    """Somebody who types what a page says, in one folder, and keeps what the page has exported."""

    def __init__(self, stack: Stack, folder: Path, programs: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._programs = programs
        self._exports = ""
        self._sessions: list[int] = []

    def type(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a block; the address that pages name stands for the stack's own."""
        text = script.replace(_URL, self._stack.url)
        with subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", self._exports + text],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            self._sessions.append(process.pid)
            try:
                answer, errors = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                self.leave()
                raise
        done = subprocess.CompletedProcess(process.args, process.returncode, answer, errors)
        self._exports += "".join(f"{line}\n" for line in text.splitlines() if line.startswith("export "))
        return done

    def leave(self) -> None:
        """End what the page has left running in the background."""
        for session in self._sessions:
            with suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        self._sessions.clear()

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        folders = (str(self._programs), str(Path(sys.executable).parent), ours.get("PATH", ""))
        return ours | {"PATH": os.pathsep.join(folders), "COLUMNS": "200", "NO_COLOR": "1"}


def _run(reader: Reader, command: Command) -> str:
    """Empty when the block does what the page shows, else what it did instead."""
    until = time.monotonic() + _PATIENCE
    while True:
        done = reader.type(command.script)
        if done.returncode == 0 and (
            not command.answer or answers_as_shown(command.answer, done.stdout + done.stderr)
        ):
            return ""
        if time.monotonic() > until:
            return f"exit code {done.returncode}, and this answer:\n{done.stdout}{done.stderr}"
        # Every block of a page may be run again: what it publishes has its event id.
        time.sleep(0.2)


@pytest.mark.parametrize("page", _RUNNABLE, ids=_name)
def test_the_commands_of_a_page_do_what_the_page_shows(
    page: Path, stack: Stack, readers_folder: Path, typed: Typed
) -> None:
    installed = Path(sys.executable).parent
    reader = Reader(stack, readers_folder, installed if page.name == "README.md" else typed.programs)
    with ExitStack() as leaving:
        leaving.callback(reader.leave)
        for command in commands(page):
            fault = _run(reader, command)
            assert not fault, f"{_name(page)}, line {command.line}: {fault}"


@pytest.mark.parametrize(
    ("page", "line", "query"), _QUERIES, ids=[f"{_name(page)}:{line}" for page, line, _ in _QUERIES]
)
def test_a_query_of_a_page_is_answered_with_data(page: Path, line: int, query: str, stack: Stack) -> None:
    until = time.monotonic() + _PATIENCE
    answer = _ask(stack, query)
    while _empty(answer) and time.monotonic() < until:
        time.sleep(0.2)
        answer = _ask(stack, query)
    assert "errors" not in answer, answer["errors"]
    assert not _empty(answer), f"{_name(page)}, line {line}: {answer}"


@pytest.mark.parametrize(
    ("page", "answer"),
    [(page, answer) for page in pages() for answer in answered_queries(page)],
    ids=lambda value: str(value.line) if isinstance(value, Answer) else _name(value),
)
def test_a_query_of_a_page_has_the_answer_that_the_page_shows(
    page: Path, answer: Answer, stack: Stack
) -> None:
    until = time.monotonic() + _PATIENCE
    while fault := differs(answer.data, _ask(stack, answer.query).get("data"), exact=answer.exact):
        assert time.monotonic() < until, f"{_name(page)}, line {answer.line}: {fault}"
        time.sleep(0.2)


def _ask(stack: Stack, query: str) -> dict[str, object]:
    request = urllib.request.Request(  # noqa: S310 - the stack's own address
        f"{stack.url}/graphql",
        json.dumps({"query": query}).encode(),
        {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Authorization": f"Bearer {stack.token('auditor')}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        answer: dict[str, object] = json.load(response)
    return answer


def _empty(answer: dict[str, object]) -> bool:
    """Whether a field of the query is null or an empty page."""
    data = answer.get("data")
    fields = list(data.values()) if isinstance(data, dict) else []
    return not fields or any(
        not field or (isinstance(field, dict) and field.get("nodes") == []) for field in fields
    )


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_a_generated_page_is_what_the_code_says_now(name: str) -> None:
    written = (reference.FOLDER / name).read_text(encoding="utf-8")
    assert written == reference.pages()[name], "run `python -m audit_trail.docs.reference`"


def test_examples_leave_the_servers_prefix_to_its_settings() -> None:
    """The commands of the server refuse such a variable: they would fail in the shell of an example's reader."""
    names = re.compile(r"\bAUDIT_TRAIL_[A-Z_]+")
    examples = [
        path
        for path in (ROOT / "docs/examples").rglob("*")
        if path.suffix in {".py", ".ts", ".java", ".md"} and "node_modules" not in path.parts
    ]
    assert {path.suffix for path in examples} == {".py", ".ts", ".java", ".md"}
    found = {name for path in examples for name in names.findall(path.read_text(encoding="utf-8"))}
    assert found <= {f"AUDIT_TRAIL_{name.upper()}" for name in Settings.model_fields}


def test_the_settings_page_has_each_setting_as_the_program_reads_it() -> None:
    page = reference.settings_page()
    assert "| `AUDIT_TRAIL_HTTP_PORT` | whole number from 0 to 65535 | `8000` |" in page
    assert "| `AUDIT_TRAIL_KAFKA_ASSIGNMENT` | `group`, `static` | `group` |" in page
    assert "| `AUDIT_TRAIL_KAFKA_CREATE_TOPICS` | true or false | `false` |" in page


def test_the_json_schema_requires_what_the_struct_requires() -> None:
    schema = msgspec.json.decode(event_schema())["$defs"]["AuditEvent"]
    required = {field.encode_name for field in msgspec.structs.fields(AuditEvent) if field.required}
    assert set(schema["required"]) == required
    assert schema["additionalProperties"] is False


def test_the_page_on_publishing_explains_every_reason_of_a_dead_letter() -> None:
    page = (ROOT / "docs/how-to/publish.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"| `{reason.value}` |" not in page] == []


def test_the_page_on_filters_has_every_condition() -> None:
    page = (ROOT / "docs/reference/filters.md").read_text(encoding="utf-8")
    schema = (ROOT / "graphql_api/schema.graphql").read_text(encoding="utf-8")
    filters = schema.partition("input EventFilter {")[2].partition("}")[0]
    names = set(re.findall(r"^  (\w+): ", filters, re.MULTILINE))
    first_cells = "".join(line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `"))
    assert len(names) > 15
    assert names == set(re.findall(r"`(\w+)`", first_cells))


def test_the_glossary_has_every_local_code() -> None:
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    codes = [
        code
        for entry in CATALOGUE.values()
        for system, code in filter(None, (entry.type_code, entry.subtype_code))
        if system == "urn:audit-trail:event-type"
    ]
    assert [code for code in codes if f"`{code}`" not in page] == []


def test_the_glossary_names_modules_that_exist() -> None:
    page = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| **")]
    named = {module for row in rows for module in re.findall(r"`([a-z_.]+)`", row[2])}
    assert len(named) > 30
    paths = {module: ROOT / module.replace(".", "/") for module in named}
    assert [
        name for name, path in paths.items() if not (path.is_dir() or path.with_suffix(".py").exists())
    ] == []


def test_every_test_that_a_page_names_exists() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = {
        name for page in pages() for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert sorted(name for name in named if f"def {name}(" not in tests) == []
