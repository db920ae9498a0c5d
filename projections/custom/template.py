"""The two files that an analyst starts with: a working projection and its test."""

from __future__ import annotations

from domain.errors import ConfigurationError
from projections.custom.declaration import NAME, RESERVED, is_reserved
from projections.registry import declared

LONGEST = 30
"""The limit of a table's name: the table is called like the projection."""

_DECLARED = '''"""{title}: how often each person opened records, and when last."""

from projections.authoring import MAX, SUM, Column, {imports}Kind, {rows}Table

name = "{name}"
version = 1  # raise it with every change of the tables or of the rows, then: audit-trail projections rebuild {name}.py

tables = (
    Table(
        "{name}",
        key=("actor_id",),
        columns=(
            Column("actor_id", Kind.TEXT),
            Column("events", Kind.BIGINT, SUM),  # of two rows with one key, SUM adds up
            Column("last_at", Kind.TIMESTAMP, MAX),  # and MAX keeps the later
        ),
    ),
)
'''

_PYTHON = '''

def rows(events: Events) -> Rows:
    """The rows of a batch of events. The same events have to give the same rows: no clock, no chance, no network."""
    return {{
        "{name}": [
            {{"actor_id": each.event.actor.id, "events": 1, "last_at": each.event.occurred_at}}
            for each in events
            if each.event.type == "record.read" and each.event.actor.id is not None
        ]
    }}
'''

_SQL = '''
# One SELECT per table over the relation batch. Its columns are named as the table's are.
sql = {{
    "{name}": """
        SELECT
            actor_id,
            count(*) AS events,
            max(occurred_at) AS last_at
        FROM batch
        WHERE type = 'record.read' AND actor_id IS NOT NULL
        GROUP BY actor_id
    """,
}}
'''

_TEST = '''"""What {name}.py makes of events: given these, when those come, then the table holds these rows."""

from pathlib import Path

from projections.testing import an_event, at, given, load

projection = load(Path(__file__).with_name("{name}.py"))


def test_each_person_has_one_row_that_adds_up():
    given(an_event("record.read", actor="ada", minute=0)).when(
        an_event("record.read", actor="ada", minute=5),
        an_event("record.read", actor="ben", minute=6),
    ).then(
        projection,
        "{name}",
        {{"actor_id": "ada", "events": 2, "last_at": at(minute=5)}},
        {{"actor_id": "ben", "events": 1, "last_at": at(minute=6)}},
    )


def test_what_is_no_reading_makes_no_row():
    given().when(an_event("record.updated", actor="ada")).then(projection, "{name}")
'''


def files_for(name: str, *, sql: bool = False) -> dict[str, str]:
    """The texts by file name. Raises `ConfigurationError` when `name` names no projection."""
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise ConfigurationError(
            f"{name!r} names no projection: lower-case letters, digits and underscores, at most {LONGEST}"
        )
    tables = {table.name for each in declared() for table in each.tables}
    if is_reserved(name) or name in tables | RESERVED:
        raise ConfigurationError(f"{name!r} is a name that Audit Trail or SQL has already; choose another")
    words = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "imports": "" if sql else "Events, ",
        "rows": "" if sql else "Rows, ",
    }
    return {
        f"{name}.py": (_DECLARED + (_SQL if sql else _PYTHON)).format(**words),
        f"test_{name}.py": _TEST.format(**words),
    }
