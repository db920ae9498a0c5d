"""A broken file is refused with its file and line, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from projections.custom.source_file import load_custom
from projections.custom.template import files_for
from projections.errors import CodeError
from projections.models.user import UserProjector
from projections.testing import an_event, at, given, load
from tests.projections.custom.analyst import HEAD, PYTHON, SQL, write

TABLES = HEAD[HEAD.index('    Table("{name}"') :]


@pytest.mark.parametrize(
    ("old", "new", "line", "error"),
    [
        ("def rows(events):", "def rows(events", 20, "'(' was never closed"),
        ('"{name}": mine', '"{name}": mine and', 0, "invalid syntax"),
        ("import *", "import Nothing", 2, "ImportError: cannot import name 'Nothing'"),
        (
            "version = {version}",
            "version = {version} + missing",
            5,
            "NameError: name 'missing' is not defined",
        ),
        ("version = {version}", "version = 1 / 0", 5, "ZeroDivisionError: division by zero"),
        ("version = {version}", "raise SystemExit('no')", 5, "SystemExit: no"),
        ("version = {version}\n", "", 1, "the file declares no `version`"),
        ("version = {version}", "version = '1'", 5, "`version` has to be a whole number, and is of type str"),
        ("version = {version}", "version = 0", 5, "version is a whole number from 1 to"),
        ('name = "{name}"', 'name = "My reads"', 4, "'My reads' names no projection"),
        ('name = "{name}"', "name = rows = 7", 4, "`name` has to be a text, and is of type int"),
        ("tables = (", "tables = 7, (", 6, "tables is a tuple of Tables"),
        ('Table("{name}"', 'Table("Own Table"', 7, "'Own Table' can't be a table's name"),
        ('Table("{name}"', 'Table("order"', 7, "'order' can't be a table's name"),
        ('Table("{name}"', 'Table("staged_x"', 7, "'staged_x' can't be a table's name"),
        ('Table("{name}"', 'Table("{name}_log"', 7, "table mine_log is declared twice"),
        ('Column("events"', 'Column("events; DROP"', 9, "'events; DROP' can't be a column's name"),
        ('Column("events"', 'Column("last_at"', 9, "column last_at is declared twice"),
        ('("actor_id",), (', '("actor",), (', 7, "the key names actor, which is no column"),
        ('("actor_id",), (', '"actor_id", (', 7, "table mine needs a key: a tuple"),
        (
            'Kind.TEXT),\n        Column("events"',
            'Kind.TEXT, nullable=True),\n        Column("events"',
            7,
            "key column actor_id",
        ),
        ("Kind.BIGINT, SUM)", "Kind.BIGINT)", 9, "column events needs a merge"),
        ("Kind.BIGINT, SUM)", "Kind.TEXT, SUM)", 9, "column events with SUM is a whole number"),
        (
            "Kind.BIGINT, SUM)",
            "Kind.BIGINT, sum)",
            9,
            "the merge of column events is SUM, MIN, MAX, UNION or latest",
        ),
        ("Kind.BIGINT, SUM)", "int, SUM)", 9, "the kind of column events is one of Kind"),
        ("Kind.BIGINT, SUM)", "Kind.BIGINT, latest('last_at'))", 9, "column events follows 'last_at'"),
        ("Kind.TEXTS, UNION", "Kind.TEXT, UNION", 11, "column patients with UNION is of kind TEXTS"),
        ('_log", ("position",)', '_log", ("type",)', 13, "its key needs the BIGINT column position"),
        ('Index(("events",))', 'Index(("evens",))', 12, "an index names 'evens', which is no column"),
        (
            'Index(("events",))',
            'Index(("events",), where="events = 1; DROP TABLE x")',
            12,
            "an index's where is one column",
        ),
        (
            'Index(("events",))',
            'Index(("events",)), Index(("events", "last_at"))',
            7,
            "two indexes begin with column events",
        ),
        (
            '(Index(("events",)),)',
            '(Index(("events",)),), ("evens",)',
            12,
            "it carries 'evens', which is no column",
        ),
        ('(Index(("events",)),)', '(Index(("events",)),), "events"', 7, "a tuple of column names"),
        ("def rows(", "def lines(", 1, "neither `rows` nor `sql`"),
        ("def rows(", "async def rows(", 20, "a plain function, not an async one"),
        ("def rows(", "sql = {{}}\ndef rows(", 21, "both `rows` and `sql`"),
        ("def rows(", "rows = 7\ndef lines(", 20, "`rows` is a function"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, error: str
) -> None:
    text = HEAD + PYTHON
    assert old in text
    with pytest.raises(CodeError, match=r"^mine.py:\d+: ") as caught:
        load_custom(write(tmp_path, text.replace(old, new, 1)))
    assert error in str(caught.value)
    assert line in {0, caught.value.line}


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"{name}_log": """', '"other": """', "sql names 'other', which is no table here"),
        ("sql = {{", "sql = {{7: 7,", "`sql` is a mapping from table to the text of one SELECT"),
        ('"{name}_log": """', '"{name}": """', "sql has no SELECT for table mine_log"),
    ],
)
def test_sql_of_other_tables_is_refused(tmp_path: Path, old: str, new: str, error: str) -> None:
    with pytest.raises(CodeError, match=error):
        load_custom(write(tmp_path, HEAD + SQL.replace(old, new, 1)))


def test_a_file_that_can_not_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.py can't be read: No such file"):
        load_custom(tmp_path / "none.py")
    (tmp_path / "latin.py").write_bytes(b"\n# \xe9\n")
    with pytest.raises(CodeError, match=r"latin.py:2: this is not UTF-8"):
        load_custom(tmp_path / "latin.py")
    (tmp_path / "zero.py").write_bytes(b"name = '\0'\n")
    with pytest.raises(CodeError, match=r"zero.py:1: "):
        load_custom(tmp_path / "zero.py")


@pytest.mark.parametrize(
    "name",
    [
        "user",
        "activity",
        "user_v3",
        "patient_v2_b1",
        "Night",
        "night reads",
        "select",
        "pg_mine",
        "",
        "a" * 31,
    ],
)
def test_a_template_has_a_name_that_can_be_run(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        files_for(name)


def test_a_story_tells_what_a_table_holds_when_it_is_not_what_was_expected(tmp_path: Path) -> None:
    projection = load(write(tmp_path, HEAD + PYTHON))
    story = given(an_event(actor="ada", patient="p1")).when(an_event(actor="ada", patient="p0", minute=3))
    story.then(projection, "mine", ("ada", 2, at(minute=3), ["p0", "p1"]))
    story.then(projection, "mine_log", *story.rows(projection, "mine_log"))
    with pytest.raises(AssertionError, match=r"holds\n    \('ada', 2, .*\nand not\n    no row"):
        story.then(projection, "mine")
    with pytest.raises(AssertionError, match="has no table other; it has mine, mine_log"):
        story.then(projection, "other")


def test_a_story_takes_the_built_in_projections_too() -> None:
    given(an_event("user.logged_in", actor="ada")).then(
        UserProjector(),
        "user_action",
        {
            "user_id": "ada",
            "type": "user.logged_in",
            "events": 1,
            "failures": 0,
            "first_at": at(),
            "last_at": at(),
        },
    )


def test_an_event_of_a_test_is_one_that_could_be_recorded() -> None:
    assert an_event("record.disclosed").patients
    with pytest.raises(ValueError, match="no such event can be recorded: type"):
        an_event("record.raed")
