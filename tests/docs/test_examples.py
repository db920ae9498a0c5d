"""The client examples, run as their readers run them against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from graphql import (
    NonNullTypeNode,
    OperationDefinitionNode,
    build_schema,
    parse,
    print_ast,
    validate,
)

from graphql_api.schema import sdl
from tests.hospital import read, record
from tests.node import NODE
from tests.tokens import token
from tests.web.graphql.subscribers import Served

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
TYPESCRIPT = (NODE, str(EXAMPLES / "typescript" / "example.ts"))
PYTHON = (sys.executable, str(EXAMPLES / "python" / "example.py"))
BOTH = pytest.mark.parametrize("program", [TYPESCRIPT, PYTHON], ids=["typescript", "python"])
NEWEST_FIRST = [
    "6 record.updated by Ada Example",
    "5 record.read by Bob Example",
    "3 record.read by Ada Example",
    "2 record.read by Ada Example",
]


@pytest.fixture
def served(hospital_url: str) -> Iterator[Served]:
    with ExitStack() as stack:
        yield Served(hospital_url, stack)


def run(
    program: Sequence[str], served: Served, *arguments: str, bearer: str | None = None
) -> subprocess.CompletedProcess[str]:
    given = token("admin") if bearer is None else bearer
    return subprocess.run(
        [*program, f"http://127.0.0.1:{served.port}/graphql", *arguments],
        env=os.environ | {"AUDIT_TOKEN": given, "NODE_NO_WARNINGS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@BOTH
def test_an_example_pages_through_the_accesses_and_follows_what_comes(
    program: Sequence[str], served: Served
) -> None:
    def add() -> None:
        assert served.subscribers(1)
        record(served.database, [read(20), read(21, "18"), read(22)])

    adding = threading.Thread(target=add)
    adding.start()
    ran = run(program, served, "17", "2")
    adding.join()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        *NEWEST_FIRST,
        "new: 10 record.read by ada",
        "new: 12 record.read by ada",
    ]


@BOTH
def test_an_example_says_what_was_refused(program: Sequence[str], served: Served) -> None:
    assert run(program, served, "nobody").stdout == "no event names patient nobody\n"
    wrong = run(program, served, "17", bearer="no.such.token")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("refused (401)")
    impossible = run(program, served, "x" * 300)
    assert (impossible.returncode, impossible.stdout) == (1, "")
    assert impossible.stderr.startswith("refused (BAD_USER_INPUT)")


def test_what_the_examples_ask_is_in_the_schema() -> None:
    schema = build_schema(sdl())
    for file in sorted(EXAMPLES.rglob("*.graphql")):
        assert validate(schema, parse(file.read_text("utf-8"))) == [], file


def test_the_generated_client_asks_what_the_file_of_operations_says() -> None:
    """Otherwise it has to be generated again: docs/examples/README.md says how."""
    client = (EXAMPLES / "python" / "audit_trail_client" / "client.py").read_text("utf-8")
    generated = [
        print_ast(parse(text)).strip() for text in re.findall(r'gql\("""(.*?)"""\)', client, re.DOTALL)
    ]
    operations = parse((EXAMPLES / "operations.graphql").read_text("utf-8")).definitions
    assert generated == [print_ast(each).strip() for each in operations]
    types = (EXAMPLES / "typescript" / "types.ts").read_text("utf-8")
    for operation in operations:
        assert isinstance(operation, OperationDefinitionNode)
        assert operation.name is not None
        for variable in operation.variable_definitions or ():
            optional = "" if isinstance(variable.type, NonNullTypeNode) else "?"
            assert f"  {variable.variable.name.value}{optional}: " in types
        kind = operation.operation.value.title()
        assert f"export type {operation.name.value}{kind} = " in types
