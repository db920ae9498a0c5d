"""Sessions record what they do to rows, in their transaction or after its commit; no bulk operation is silent."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Table,
    create_engine,
    delete,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from audit_trail_publisher import Actor, AuditEvent, Promise, Publisher
from audit_trail_publisher.context import bound
from audit_trail_publisher.errors import BulkOperationError, ConfigurationError, MissingActorError
from audit_trail_publisher.outbox.outbox import postgresql_tables
from audit_trail_publisher.sqlalchemy import ConnectionOutbox, SessionAudit, SessionOutbox, recorded_by_hand
from audit_trail_publisher.testing import CapturedTrail
from tests.databases import EMPTY, Databases


class Base(DeclarativeBase):
    pass


observation_tag = Table(
    "observation_tag",
    Base.metadata,
    Column("observation_id", ForeignKey("observation.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[str] = mapped_column(primary_key=True)


class Observation(Base):
    __tablename__ = "observation"
    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[str]
    status: Mapped[str] = mapped_column("state")
    value: Mapped[float | None]
    comment: Mapped[str | None] = mapped_column(default=None)
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    tags: Mapped[list[Tag]] = relationship(secondary=observation_tag)
    parts: Mapped[list[Part]] = relationship(cascade="all, delete-orphan")


class Part(Base):
    __tablename__ = "part"
    id: Mapped[int] = mapped_column(primary_key=True)
    observation_id: Mapped[int] = mapped_column(ForeignKey("observation.id"))
    code: Mapped[str]
    observation: Mapped[Observation] = relationship(viewonly=True)


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012


class Nurse(Person):
    __tablename__ = "nurse"
    id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    ward: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "nurse"}  # noqa: RUF012


class Unwatched(Base):
    __tablename__ = "unwatched"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.copy(EMPTY) as url:
        engine = create_engine(driver(url, "psycopg2"))
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql(postgresql_tables())
        engine.dispose()
        yield url


def driver(url: str, name: str) -> Any:
    return make_url(url).set(drivername=f"postgresql+{name}")


@pytest.fixture(scope="module")
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(driver(url, "psycopg2"))
    yield engine
    engine.dispose()


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Publisher]:
    """A publisher that sends nothing: it is not started."""
    with closing(Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path)) as trail:
        yield trail


Sessions = Callable[..., "sessionmaker[Session]"]


def watching(trail: Any, **options: Any) -> SessionAudit:
    audit = SessionAudit(trail, **options)
    audit.watch(Observation, patient="patient_id", mask=["comment"], leave_out=["changed_at"])
    audit.watch(Part)
    audit.watch(Person, type="Practitioner")
    return audit


@pytest.fixture(autouse=True)
def _empty_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        tables = ", ".join(Base.metadata.tables)
        connection.execute(text(f"TRUNCATE {tables}, audit_outbox RESTART IDENTITY"))


@pytest.fixture(autouse=True)
def _actor() -> Iterator[None]:
    with bound(actor=Actor(id="ada")):
        yield


@pytest.fixture
def sessions(engine: Engine, trail: Publisher) -> Sessions:
    """`sessions(**options)` makes sessions that are watched."""

    def make(**options: Any) -> sessionmaker[Session]:
        made = sessionmaker(engine)
        watching(trail, **options).install(made)
        return made

    return make


def recorded(engine: Engine) -> list[AuditEvent]:
    """The events in the outbox, which is emptied."""
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT payload FROM audit_outbox ORDER BY position")).scalars().all()
        connection.execute(text("DELETE FROM audit_outbox"))
    return [msgspec.json.decode(each, type=AuditEvent) for each in rows]


def changes(event: AuditEvent) -> dict[str, tuple[Any, Any]]:
    return {each.path: (each.before, each.after) for each in event.changes}


def what(event: AuditEvent) -> tuple[str, str, str]:
    return event.type, event.resources[0].type, event.resources[0].id


def test_each_row_that_a_session_writes_is_an_event_with_both_values(
    sessions: Sessions, engine: Engine
) -> None:
    with sessions()() as session:
        observation = Observation(patient_id="17", status="preliminary", value=1.5, comment="private")
        session.add_all([observation, Unwatched()])
        session.commit()
        observation.status, observation.comment, observation.value = "final", "more private", 1.5
        session.commit()
        session.delete(observation)
        session.commit()
    created, updated, deleted = recorded(engine)
    assert what(created) == ("record.created", "Observation", "1")
    assert (created.actor.id, [each.id for each in created.patients]) == ("ada", ["17"])
    assert changes(created) == {
        "id": (None, 1),
        "patient_id": (None, "17"),
        "status": (None, "preliminary"),
        "value": (None, 1.5),
        "comment": (None, "[masked]"),
    }
    assert what(updated) == ("record.updated", "Observation", "1")
    assert changes(updated) == {"status": ("preliminary", "final"), "comment": ("[masked]", "[masked]")}
    assert what(deleted) == ("record.deleted", "Observation", "1")
    assert changes(deleted)["status"] == ("final", None)


def test_an_event_is_in_the_transaction_of_its_change(sessions: Sessions, engine: Engine) -> None:
    with sessions()() as session:
        session.add(Observation(id=1, patient_id="17", status="final"))
        session.flush()
        session.rollback()
        assert recorded(engine) == []
        session.add(Observation(id=2, patient_id="17", status="final"))
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(insert(Unwatched), [{"id": 1}, {"id": 1}])
        with session.begin_nested() as savepoint:
            session.add(Observation(id=3, patient_id="17", status="final"))
            session.flush()
            savepoint.rollback()
        session.commit()
    assert [what(event) for event in recorded(engine)] == [("record.created", "Observation", "2")]


def test_what_only_the_database_knows_is_read_from_it(sessions: Sessions, engine: Engine) -> None:
    with sessions()() as session:
        session.add(Observation(patient_id="17", status="preliminary", value=1))
        session.commit()
        recorded(engine)
        observation = session.get_one(Observation, 1)
        session.expire(observation)
        observation.status = "final"  # the old value is not loaded
        observation.value = Observation.value + 1  # the new one is not known here
        session.commit()
    assert changes(recorded(engine)[0]) == {"status": ("preliminary", "final"), "value": (1.0, 2.0)}


def test_an_update_that_changes_nothing_but_what_is_left_out_is_no_event(
    sessions: Sessions, engine: Engine
) -> None:
    with sessions()() as session:
        observation = Observation(patient_id="17", status="final")
        session.add(observation)
        session.commit()
        recorded(engine)
        observation.status = "final"
        session.commit()
        observation.changed_at = datetime(2026, 3, 1)  # noqa: DTZ001
        session.commit()
    assert recorded(engine) == []


def test_a_record_that_moves_is_about_both_patients(sessions: Sessions, engine: Engine) -> None:
    with sessions()() as session:
        observation = Observation(patient_id="17", status="final")
        session.add(observation)
        session.commit()
        recorded(engine)
        observation.patient_id = "18"
        session.commit()
    assert [each.id for each in recorded(engine)[0].patients] == ["17", "18"]


def test_related_records_orphans_and_subclasses_are_recorded(sessions: Sessions, engine: Engine) -> None:
    with sessions()() as session:
        observation = Observation(patient_id="17", status="final", tags=[Tag(id="a")], parts=[Part(code="x")])
        session.add_all([observation, Nurse(name="Bob", ward="3")])
        session.commit()
        created = {what(event): event for event in recorded(engine)}
        assert set(created) == {
            ("record.created", "Observation", "1"),
            ("record.created", "Part", "1"),
            ("record.created", "Practitioner", "1"),
        }
        assert changes(created["record.created", "Observation", "1"])["tags"] == ([], ["a"])
        assert changes(created["record.created", "Practitioner", "1"])["ward"] == (None, "3")
        observation.tags.append(Tag(id="b"))
        observation.parts.clear()
        session.commit()
    events = {what(event): event for event in recorded(engine)}
    assert changes(events["record.updated", "Observation", "1"]) == {"tags": (["a"], ["a", "b"])}
    assert changes(events["record.deleted", "Part", "1"])["code"] == ("x", None)


def test_the_ids_of_related_records_can_be_masked_or_left_out(trail: Publisher, engine: Engine) -> None:
    for at, (mask, leave_out) in enumerate([(["tags"], []), ([], ["tags"])]):
        audit, made = SessionAudit(trail), sessionmaker(engine)
        audit.watch(Observation, mask=mask, leave_out=leave_out)
        audit.install(made)
        with made() as session:
            observation = Observation(patient_id="17", status="final", tags=[])
            session.add(observation)
            session.commit()
            recorded(engine)
            observation.tags.append(Tag(id=f"hiv-{at}"))
            session.commit()
        wanted = [{"tags": ("[masked]", "[masked]")}] if mask else []
        assert [changes(event) for event in recorded(engine)] == wanted


def three(session: Session) -> None:
    session.add_all(
        Observation(id=at, patient_id=patient, status="preliminary")
        for at, patient in enumerate(["17", "18", "18"], 1)
    )
    session.commit()


def test_bulk_statements_are_recorded_row_by_row(sessions: Sessions, engine: Engine) -> None:
    with sessions()() as session:
        three(session)
        recorded(engine)
        session.execute(update(Observation).where(Observation.patient_id == "18").values(status="final"))
        session.execute(update(Observation), [{"id": 1, "status": "amended", "comment": "private"}])
        session.execute(delete(Observation).where(Observation.id > 1))
        session.execute(insert(Observation), [{"id": 9, "patient_id": "19", "status": "final"}])
        session.commit()
    events = recorded(engine)
    assert [what(event)[::2] for event in events] == [
        ("record.updated", "2"),
        ("record.updated", "3"),
        ("record.updated", "1"),
        ("record.deleted", "2"),
        ("record.deleted", "3"),
        ("record.created", "9"),
    ]
    assert changes(events[0]) == {"status": ("preliminary", "final")}
    assert changes(events[2]) == {"status": ("preliminary", "amended"), "comment": (None, "[masked]")}
    assert [[each.id for each in event.patients] for event in events] == [
        ["18"], ["18"], ["17"], ["18"], ["18"], ["19"],
    ]  # fmt: skip


def unrecordable(session: Session) -> dict[str, Callable[[], Any]]:
    table: Any = Observation.__table__
    row = {"patient_id": "17", "status": "final"}
    return {
        "no keys": lambda: session.execute(insert(Observation), [row]),
        "insert from select": lambda: session.execute(
            insert(Observation).from_select(["patient_id"], select(Observation.patient_id))
        ),
        "core": lambda: session.execute(table.update().values(state="x")),
        "connection": lambda: session.connection().execute(table.delete()),
        "mappings": lambda: session.bulk_insert_mappings(Observation, [row]),
        "objects": lambda: session.bulk_save_objects([Observation(**row)]),
        "too many": lambda: session.execute(update(Observation).values(status="x")),
    }


@pytest.mark.parametrize("name", list(unrecordable(Session())))
def test_a_statement_that_can_not_be_recorded_is_refused_and_not_executed(
    sessions: Sessions, engine: Engine, name: str
) -> None:
    with sessions(bulk_rows=2)() as session:
        three(session)
        recorded(engine)
        with pytest.raises(BulkOperationError, match="refused"):
            unrecordable(session)[name]()
        session.rollback()
        assert session.scalars(select(Observation.status)).all() == ["preliminary"] * 3
    assert recorded(engine) == []


def test_every_bulk_statement_is_refused_where_that_is_wanted(sessions: Sessions, engine: Engine) -> None:
    with sessions(bulk="refuse")() as session:
        three(session)
        with pytest.raises(BulkOperationError):
            session.execute(update(Observation).values(status="final"))
        session.rollback()
        recorded(engine)
        with recorded_by_hand():
            session.execute(update(Observation).values(status="final"))
            session.bulk_insert_mappings(Observation, [{"id": 9, "patient_id": "17", "status": "final"}])
        session.execute(update(Unwatched).values(id=1))
        session.commit()
    assert recorded(engine) == []


@pytest.mark.parametrize("promise", [Promise.DURABLE, "durable"])
def test_events_after_the_commit_are_durable_and_none_is_recorded_for_what_is_rolled_back(
    engine: Engine, promise: Any
) -> None:
    trail = CapturedTrail("patient-service")
    made = sessionmaker(engine)
    watching(trail, promise=promise).install(made)
    with made() as session:
        session.add(Observation(id=1, patient_id="17", status="final"))
        with session.begin_nested() as savepoint:
            session.add(Observation(id=2, patient_id="17", status="final"))
            session.flush()
            savepoint.rollback()
        with session.begin_nested():
            session.add(Observation(id=3, patient_id="17", status="final"))
        assert trail.events == []
        session.commit()
        assert [what(event)[2] for event in trail.events] == ["1", "3"]
        session.add(Observation(id=4, patient_id="17", status="final"))
        session.flush()
        session.rollback()
        session.commit()
    assert len(trail.events) == 2
    assert set(trail.promises) == {Promise.DURABLE}


@pytest.mark.parametrize("promise", [Promise.TRANSACTIONAL, Promise.DURABLE, "transactional"])
def test_an_async_session_records_as_well(url: str, promise: Promise) -> None:
    trail = CapturedTrail("patient-service")
    made: sessionmaker[Session] = sessionmaker()
    watching(trail, promise=promise).install(made)

    async def work() -> None:
        async_engine = create_async_engine(driver(url, "psycopg"))
        async with async_sessionmaker(async_engine, sync_session_class=made)() as session:
            session.add(Observation(id=1, patient_id="17", status="preliminary"))
            await session.commit()
            await session.execute(update(Observation).values(status="final"))
            await session.commit()
        await async_engine.dispose()

    asyncio.run(work())
    assert [what(event)[0] for event in trail.events] == ["record.created", "record.updated"]
    assert set(trail.promises) == {promise}


def test_a_change_by_nobody_is_an_error_and_is_not_made(sessions: Sessions, trail: Publisher) -> None:
    made = sessions()
    with trail.context(actor=None), made() as session:
        session.add(Observation(id=1, patient_id="17", status="final"))
        with pytest.raises(MissingActorError):
            session.commit()
        session.rollback()
        assert session.get(Observation, 1) is None


def test_wrong_names_and_promises_are_refused_at_the_start(engine: Engine, trail: Publisher) -> None:
    audit = SessionAudit(trail)
    audit.watch(Observation, mask=["coment"])
    with pytest.raises(ConfigurationError, match="coment"):
        audit.install(sessionmaker(engine))
    paths = (
        (Observation, "patient_idd", "Observation has no attribute patient_idd"),
        (Part, "observatoin.patient_id", "Part has no attribute observatoin"),
        (Part, "observation.patient_idd", "Observation has no attribute patient_idd"),
        (Base, "patient_id", "has no attribute patient_id"),
    )
    for watched, path, message in paths:
        audit = SessionAudit(trail)
        audit.watch(watched, patient=path)
        with pytest.raises(ConfigurationError, match=message):
            audit.install(sessionmaker(engine))
    audit = SessionAudit(trail)
    audit.watch(Part, patient="observation.patient_id")
    audit.install(sessionmaker(engine))
    for promise in (Promise.CONFIRMED, "confirmed", "durabel"):
        with pytest.raises(ConfigurationError, match="'transactional' or 'durable', not"):
            SessionAudit(trail, promise=promise)
    wrong: Any = "refused"
    with pytest.raises(ConfigurationError, match="'record' or 'refuse', not 'refused'"):
        SessionAudit(trail, bulk=wrong)


def test_a_missing_outbox_is_said_without_the_event(engine: Engine, trail: Publisher) -> None:
    sqlite = create_engine("sqlite://")
    Base.metadata.create_all(sqlite)
    for other in (sqlite, engine):
        made = sessionmaker(other)
        watching(trail).install(made)
        with made() as session:
            if other is engine:
                session.execute(text("ALTER TABLE audit_outbox RENAME TO another"))
            session.add(Observation(patient_id="17", status="secret"))
            with pytest.raises(ConfigurationError, match="outbox-tables") as caught:
                session.commit()
        assert "secret" not in "".join(traceback.format_exception(caught.value))
    sqlite.dispose()


def test_another_error_of_the_outbox_does_not_quote_the_event(trail: Publisher) -> None:
    sqlite = create_engine("sqlite://")
    Base.metadata.create_all(sqlite)
    made = sessionmaker(sqlite)
    watching(trail).install(made)
    with made() as session:
        columns = "id, aggregatetype, aggregateid, type, payload CHECK (payload = ''), slot"
        session.execute(text(f"CREATE TABLE audit_outbox ({columns})"))
        session.add(Observation(patient_id="17", status="secret"))
        with pytest.raises(IntegrityError) as caught:
            session.commit()
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    sqlite.dispose()


def test_the_mask_of_the_publisher_holds_as_well(engine: Engine) -> None:
    trail = CapturedTrail("patient-service", mask=["status"])
    made = sessionmaker(engine)
    watching(trail, promise=Promise.DURABLE).install(made)
    with made.begin() as session:
        session.add(Observation(patient_id="17", status="final", comment="private"))
    found = changes(trail.only())
    assert (found["status"], found["comment"]) == ((None, "[masked]"), (None, "[masked]"))


def test_a_declarative_base_stands_for_its_classes(engine: Engine, trail: Publisher) -> None:
    audit = SessionAudit(trail)
    audit.watch(Base, leave_out=["changed_at"])
    audit.watch(Observation, patient="patient_id", mask=["state"])  # the name of the column
    made = sessionmaker(engine)
    audit.install(made)
    with made.begin() as session:
        session.add_all([Unwatched(id=1), Observation(id=1, patient_id="17", status="final")])
    events = {what(event): event for event in recorded(engine)}
    assert set(events) == {("record.created", "Unwatched", "1"), ("record.created", "Observation", "1")}
    assert changes(events["record.created", "Observation", "1"])["status"] == (None, "[masked]")


@pytest.mark.parametrize("name", ["psycopg2", "psycopg"])
def test_rows_of_the_outbox_are_written_on_a_session_and_a_connection(
    url: str, engine: Engine, trail: Publisher, name: str
) -> None:
    own = create_engine(driver(url, name))
    with Session(own) as session:
        trail.within(SessionOutbox(session)).record.read(patient="17", resource=("Page", "1"))
        session.commit()
    with own.connect() as connection:
        trail.within(ConnectionOutbox(connection)).record.read(patient="17", resource=("Page", "2"))
        connection.commit()
        trail.within(ConnectionOutbox(connection)).record.read(patient="17", resource=("Page", "3"))
        connection.rollback()
        # Debezium reads the transaction log, in which a deleted row is as well.
        trail.within(ConnectionOutbox(connection, delete=True)).record.read(
            patient="17", resource=("Page", "4")
        )
        connection.commit()
    own.dispose()
    assert [event.resources[0].id for event in recorded(engine)] == ["1", "2"]


def test_long_and_binary_values_are_recorded_by_their_hash(sessions: Sessions, engine: Engine) -> None:
    with sessions()() as session:
        session.add(Observation(patient_id="17", status="x" * 20_000))
        session.commit()
    assert changes(recorded(engine)[0])["status"] == (
        None,
        f"[20000 characters, sha256:{hashlib.sha256(b'x' * 20_000).hexdigest()}]",
    )
