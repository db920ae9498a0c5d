"""A real PostgreSQL and a real broker for every test that asks for one.

Apache Kafka is the broker where Java 17 and Maven are there, else the embedded one; `--broker` or
AUDIT_TRAIL_TEST_BROKER choose. A test that needs what the embedded broker lacks is marked `needs_kafka`.
"""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import settings
from kafka.admin import KafkaAdminClient
from psycopg2 import sql

from audit_trail.embedded import kafka, tansu
from audit_trail.embedded.broker import Broker
from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.errors import ConfigurationError

BROKER_VARIABLE = "AUDIT_TRAIL_TEST_BROKER"
CHOICES = ("auto", "kafka", "embedded")
# What a crash of the machine would lose costs time at every commit, and no test crashes the machine.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

ROOT = Path(__file__).parent
SHARING = frozenset(
    {
        "test_large.py",
        "test_role_matrix.py",
        "test_projections.py",
        "test_order_of_time.py",
        "test_own_hostile.py",
        "test_plans.py",
        "test_conditions_together.py",
    }
)
"""Files with a fixture for the whole module, which takes long."""

chosen_broker = pytest.StashKey[str]()
reason_of_choice = pytest.StashKey[str]()
not_run = pytest.StashKey[list[str]]()

TopicFactory = Callable[..., str]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        choices=CHOICES,
        default=os.environ.get(BROKER_VARIABLE, "auto"),
        help=f"the broker that the tests use (or {BROKER_VARIABLE}); auto is Apache Kafka where it can run",
    )
    parser.addoption("--thorough", action="store_true", help="try more examples where inputs are random")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_kafka: needs what only Apache Kafka itself does")
    # A run that is told to end (a job's time limit) still stops its servers and removes their folders.
    signal.signal(signal.SIGTERM, _end_run)
    # Without a deadline: a machine that stalls for half a second would fail an example.
    settings.register_profile("quick", max_examples=25, deadline=None)
    settings.register_profile("thorough", max_examples=100, deadline=None)
    settings.load_profile("thorough" if config.getoption("--thorough") else "quick")
    config.stash[not_run] = []
    config.stash[chosen_broker], config.stash[reason_of_choice] = _choose_broker(config.getoption("--broker"))


def _end_run(*_: object) -> None:
    pytest.exit("SIGTERM", returncode=128 + signal.SIGTERM)


def _choose_broker(wanted: str) -> tuple[str, str]:
    """The kind of broker and what to say of it; no broker at all ends the run, because a skip would hide it."""
    if wanted not in CHOICES:
        raise pytest.UsageError(f"{BROKER_VARIABLE} is {wanted!r}; it must be one of {', '.join(CHOICES)}")
    apache = kafka.available()
    if wanted != "embedded" and apache:
        return "kafka", f"Apache Kafka ({apache.reason})"
    if wanted == "kafka":
        raise pytest.UsageError(f"Apache Kafka can't run here: {apache.reason}")
    try:
        tansu.program()
    except ConfigurationError as exc:
        raise pytest.UsageError(
            f"no broker for the tests: {exc}; and no Apache Kafka: {apache.reason}"
        ) from exc
    return "embedded", "embedded (Tansu)" if wanted == "embedded" else f"embedded (Tansu), as {apache.reason}"


def pytest_report_header(config: pytest.Config) -> str:
    return f"broker: {config.stash[reason_of_choice]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # What shares a stack or a large trail is run by one process.
        if shared := _shared(item):
            item.add_marker(pytest.mark.xdist_group(shared))
    if config.stash[chosen_broker] == "kafka":
        return
    deselected = [item for item in items if item.get_closest_marker("needs_kafka")]
    items[:] = [item for item in items if not item.get_closest_marker("needs_kafka")]
    config.stash[not_run] = [item.nodeid for item in deselected]
    config.hook.pytest_deselected(items=deselected)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    names = config.stash[not_run]
    if names:
        terminalreporter.section(f"not run: {len(names)} that need Apache Kafka")
        for name in names:
            terminalreporter.write_line(name)


def _shared(item: pytest.Item) -> str | None:
    file = item.path.relative_to(ROOT)
    if file.parts[0] == "docs":
        return "docs"
    return str(file) if file.name in SHARING else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["not_run"] = session.config.stash[not_run]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended: the controller collects nothing itself."""
    node.config.stash[not_run] = sorted(
        {*node.config.stash[not_run], *getattr(node, "workeroutput", {}).get("not_run", ())}
    )


@contextmanager
def _folder_for_servers() -> Iterator[Path]:
    """Like tmp_path, but one that a server can enter when the tests run as root and the server as another account."""
    with tempfile.TemporaryDirectory(prefix="audit-trail-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """An empty folder for a server of the test's own."""
    with _folder_for_servers() as folder:
        yield folder


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    with _folder_for_servers() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(session_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The server that all tests share; a test that stops its server starts one of its own in `server_folder`."""
    with EmbeddedPostgres(session_folder / "postgres", settings=FAST) as server:
        yield server


@contextmanager
def copied_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The URL of a copy of the database `template`, dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    identifiers = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    # Copying the files takes a fifth of the time that writing them through the log takes.
    _execute(
        server, sql.SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy").format(**identifiers)
    )
    try:
        yield server.url_for(name)
    finally:
        _execute(server, sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**identifiers))


def _execute(server: EmbeddedPostgres, statement: sql.Composable) -> None:
    with closing(psycopg2.connect(server.url_for("postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    with copied_database(postgres, "template0") as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database that was migrated once, to be copied."""
    from event_store.migrations import migrate  # noqa: PLC0415 - tests of what lies below the store run without it

    name = "migrated_template"
    _execute(postgres, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    migrate(postgres.url_for(name))
    return name


@pytest.fixture
def migrated_url(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """The URL of a migrated, empty database of the test's own."""
    with copied_trail(postgres, migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def projected_template(postgres: EmbeddedPostgres, migrated_template: str) -> str:
    """The name of a migrated database with the built-in read models of an empty log, to be copied."""
    return _recorded(postgres, migrated_template, "projected_template", hospital=False)


@pytest.fixture
def projected_url(postgres: EmbeddedPostgres, projected_template: str) -> Iterator[str]:
    """The URL of a database of the test's own: an empty log and its read models."""
    with copied_trail(postgres, projected_template) as url:
        yield url


@pytest.fixture(scope="session")
def hospital_template(postgres: EmbeddedPostgres, migrated_template: str) -> str:
    """The name of a database with the hospital's morning and its read models, to be copied."""
    return _recorded(postgres, migrated_template, "hospital_template", hospital=True)


@pytest.fixture
def hospital_url(postgres: EmbeddedPostgres, hospital_template: str) -> Iterator[str]:
    """The URL of a database of the test's own with the hospital's morning."""
    with copied_trail(postgres, hospital_template) as url:
        yield url


def _recorded(server: EmbeddedPostgres, template: str, name: str, *, hospital: bool) -> str:
    from tests import hospital as trail  # noqa: PLC0415 - as in migrated_template

    _execute(
        server,
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)),
    )
    _grant(server, name)
    trail.record(server.url_for(name), trail.hospital() if hospital else [])
    return name


@contextmanager
def copied_trail(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Like `copied_database`, with the rights on the database itself, which a copy does not have."""
    with copied_database(server, template) as url:
        _grant(server, url.partition("?")[0].rpartition("/")[2])
        yield url


def _grant(server: EmbeddedPostgres, database: str) -> None:
    _execute(
        server,
        sql.SQL("GRANT CREATE ON DATABASE {} TO audit_trail_projector").format(sql.Identifier(database)),
    )


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, session_folder: Path) -> Iterator[Broker]:
    """The broker that all tests share, started when the first test asks for it."""
    if request.config.stash[chosen_broker] == "kafka":
        with kafka.ApacheKafka(session_folder / "kafka") as apache:
            yield apache
    else:
        with tansu.TansuBroker(log=session_folder / "tansu.log") as embedded:
            yield embedded


@pytest.fixture
def make_topic(broker: Broker) -> TopicFactory:
    """`make_topic(partitions=4, configs=None)` makes a topic with a name that was never used and returns the name."""

    def make(partitions: int = 4, configs: Mapping[str, str] | None = None) -> str:
        name = f"test-{uuid.uuid4().hex}"
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(configs or {})}
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
            admin.create_topics({name: options}, wait_for_metadata=True)
        return name

    return make


@pytest.fixture
def topic(make_topic: TopicFactory) -> str:
    """The name of a fresh topic with four partitions."""
    return make_topic()
