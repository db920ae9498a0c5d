"""A real PostgreSQL and a real broker for every test that asks for one.

Apache Kafka is the broker where Java 17 and Maven are there, else the embedded one; `--broker` or
AUDIT_TRAIL_TEST_BROKER choose. A test that needs what the embedded broker lacks is marked `needs_kafka`.

PostgreSQL is the embedded one, or the one in the folder that AUDIT_TRAIL_TEST_POSTGRES names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.nodeid import NodeId
from hypothesis import settings
from kafka.admin import KafkaAdminClient

from audit_trail.embedded import kafka, tansu
from audit_trail.embedded.broker import Broker
from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.errors import ConfigurationError
from tests.databases import EMPTY, HOSPITAL, MIGRATED, PROJECTED, Databases
from tests.installed import installed
from tests.servers import FAST, folder_for_servers, postgres_major, postgres_server

if TYPE_CHECKING:
    from tests.trail import Trail

BROKER_VARIABLE = "AUDIT_TRAIL_TEST_BROKER"
CHOICES = ("auto", "kafka", "embedded")
ROOT = Path(__file__).parent
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
    parser.addoption(
        "--thorough", action="store_true", help="more examples and repetitions, and the tests marked so"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_kafka: needs what only Apache Kafka itself does")
    config.addinivalue_line(
        "markers", "needs_postgres(major): needs this version of PostgreSQL or a later one"
    )
    config.addinivalue_line("markers", "needs_program(name): needs a program that may not be installed")
    config.addinivalue_line("markers", "thorough: takes minutes, and is run with --thorough alone")
    # A run that is told to end (a job's time limit) still stops its servers and removes their folders.
    signal.signal(signal.SIGTERM, _end_run)
    # Without a deadline: a machine that stalls for half a second would fail an example.
    settings.register_profile("quick", max_examples=25, deadline=None)
    settings.register_profile("thorough", max_examples=100, deadline=None)
    settings.load_profile("thorough" if config.getoption("--thorough") else "quick")
    _keep_bytecode(config)
    if config.getoption("numprocesses", None) and config.args_source is config.ArgsSource.TESTPATHS:
        _compile_tests()
    # Apache Kafka starts in half the processor time when Java does not optimise: 2.9 s instead of 5.
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
    # A client that speaks http alone would still read every certificate authority of the system when it is made. It
    # reads a folder of them when it needs one.
    os.environ.pop("SSL_CERT_FILE", None)
    folder = Path("/etc/ssl/certs")
    os.environ.setdefault("SSL_CERT_DIR", str(folder if folder.is_dir() else ROOT / "samples"))
    config.stash[not_run] = []
    config.stash[chosen_broker], config.stash[reason_of_choice] = _choose_broker(config.getoption("--broker"))


def _keep_bytecode(config: pytest.Config) -> None:
    """Where Python may leave no bytecode beside the product, every program that a test starts would compile it."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        folder = tempfile.TemporaryDirectory(prefix="audit-trail-bytecode-")
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name


def _compile_tests() -> None:
    """Let two processes compile the tests, each half of them: without that, every process of the run compiles all."""
    folders = [each for each in ROOT.iterdir() if each.is_dir() and any(each.rglob("test_*.py"))]
    folders.sort(key=lambda each: -sum(1 for _ in each.rglob("*.py")))
    # The largest folder has a third of the files.
    halves = (folders[0], *folders[3::2]), (*folders[1:3], *folders[4::2])
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-n0", "-p", "no:cacheprovider"]
    running = [
        subprocess.Popen([*collect, *map(str, half)], cwd=ROOT.parent, stdout=subprocess.DEVNULL)
        for half in halves
    ]
    for process in running:
        process.wait()


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


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"broker: {config.stash[reason_of_choice]}", f"database: PostgreSQL {postgres_major()}"]


def pytest_itemcollected(item: pytest.Item) -> None:
    # What shares a stack or a large trail is run by one process: --dist loadgroup looks for the name after the `@`.
    # pytest-xdist 3.8 would write it from a marker, but into an attribute that pytest 9.2 does not read any more.
    shared = _shared(item)
    if shared and item.config.getoption("loadgroup", False):
        item._id = NodeId.parse(f"{item.nodeid}@{shared}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--thorough"):
        _deselect(config, items, lambda item: item.get_closest_marker("thorough") is not None)
    if config.stash[chosen_broker] != "kafka":
        config.stash[not_run] += _deselect(
            config, items, lambda item: item.get_closest_marker("needs_kafka") is not None
        )
    config.stash[not_run] += _deselect(config, items, _lacks_a_program)
    major = postgres_major()
    config.stash[not_run] += _deselect(
        config, items, lambda item: any(m.args[0] > major for m in item.iter_markers("needs_postgres"))
    )
    if hasattr(config, "workerinput"):
        items.sort(key=_places(items).__getitem__)


def _places(items: list[pytest.Item]) -> dict[pytest.Item, float]:
    """Where each test stands in the run, from 0 to 1: every folder's tests are spread over the whole of it.

    The tests of some folders mostly wait, and those of others mostly compute. One after the other they would leave the
    processors idle first and overload them then.
    """
    folders: dict[str, list[pytest.Item]] = {}
    for item in items:
        folders.setdefault(item.path.relative_to(ROOT).parts[0], []).append(item)
    return {item: at / len(each) for each in folders.values() for at, item in enumerate(each)}


def _lacks_a_program(item: pytest.Item) -> bool:
    return any(installed(marker.args[0]) is None for marker in item.iter_markers("needs_program"))


def _deselect(
    config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool]
) -> list[str]:
    """Take unwanted tests out of `items`; their names."""
    deselected = [item for item in items if unwanted(item)]
    items[:] = [item for item in items if not unwanted(item)]
    config.hook.pytest_deselected(items=deselected)
    return [item.nodeid for item in deselected]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    names = config.stash[not_run]
    if names:
        terminalreporter.section(
            f"not run: {len(names)} that need Apache Kafka, a program that is not installed, or a later PostgreSQL"
        )
        for name in names:
            terminalreporter.write_line(name)


def _shared(item: pytest.Item) -> str | None:
    """The name of what `item` shares with others: a stack, or a trail that is made once for its file."""
    file = item.path.relative_to(ROOT)
    if file.parts[0] == "docs" and "stack" in getattr(item, "fixturenames", ()):
        return "docs"
    fixtures = getattr(item, "_fixtureinfo", None)
    scopes = {each[-1].scope for each in fixtures.name2fixturedefs.values()} if fixtures else set()
    return str(file) if "module" in scopes else None


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


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether to repeat what shows more only by repetition."""
    return bool(request.config.getoption("--thorough"))


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """An empty folder for a server of the test's own."""
    with folder_for_servers() as folder:
        yield folder


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    with folder_for_servers() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(session_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The server that all tests share; a test that stops its server starts one of its own in `server_folder`."""
    with postgres_server(session_folder / "postgres", settings=FAST) as server:
        yield server


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    """`with databases.copy(MIGRATED) as url:` a database of one's own."""
    with closing(Databases(postgres)) as databases:
        yield databases


def _copy_of(name: str) -> Callable[[Databases], Iterator[str]]:
    def copy(databases: Databases) -> Iterator[str]:
        with databases.copy(name) as url:
            yield url

    return copy


# The URL of a database of the test's own.
database_url = pytest.fixture(name="database_url")(_copy_of(EMPTY))
migrated_url = pytest.fixture(name="migrated_url")(_copy_of(MIGRATED))
projected_url = pytest.fixture(name="projected_url")(_copy_of(PROJECTED))
hospital_url = pytest.fixture(name="hospital_url")(_copy_of(HOSPITAL))


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    """An empty trail with the built-in read models."""
    with _trail(projected_url) as trail:
        yield trail


@pytest.fixture
def new_trail(migrated_url: str) -> Iterator[Trail]:
    """An empty trail that no projector has run on."""
    with _trail(migrated_url) as trail:
        yield trail


def _trail(url: str) -> closing[Trail]:
    from tests.trail import Trail  # noqa: PLC0415 - tests of what lies below the store run without it

    return closing(Trail(url))


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
