"""SIGTERM ends every part, whatever hangs: the database, Kafka, or a client that takes nothing."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psutil
import pytest
from kafka import KafkaAdminClient

from audit_trail.embedded.kafka import ApacheKafka
from audit_trail.embedded.postgres import EmbeddedPostgres
from event_store.migrations import migrate
from tests.audit_trail.programs import PROGRAM, environment, eventually
from tests.frozen import frozen
from tests.servers import FAST, postgres_server

SECONDS = 30.0
"""What the documentation promises. A busy machine may take a little longer to end a process."""
MARGIN = 15.0

STUCK = """
import sys, threading
from audit_trail.runtime import signals, stop_deadline
signals.{handler}
print("ready", flush=True)
{work}
"""


class Program:
    """A process whose output goes to a file, so that nothing waits for a reader."""

    def __init__(self, folder: Path, *command: str, **settings: str) -> None:
        self.log = folder / f"{command[-1].strip('-')[:20]}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                list(command), env=environment(**settings), stdout=output, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def loads(self) -> bool:
        """Whether it loads its modules, one of which is written in C."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text(encoding="utf-8")
        return "pydantic_core" in maps

    def loaded(self) -> bool:
        """Whether it has loaded its modules and begun, with the thread that ends it."""
        return psutil.Process(self.process.pid).num_threads() > 1

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = SECONDS + MARGIN) -> int:
        """The exit code. Fails when it does not end in time."""
        self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end within {seconds:.0f} s after {number.name}: {self.said()[-2000:]}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    with postgres_server(server_folder / "postgres", settings=FAST) as server:
        migrate(server.url)
        yield server


def run_stuck(folder: Path, handler: str, work: str) -> Program:
    code = STUCK.format(handler=handler, work=work)
    program = Program(folder, sys.executable, "-c", code)
    assert eventually(lambda: "ready" in program.said()), program.said()
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_main_thread_that_waits_for_ever_is_ended_and_what_it_does_is_said(
    tmp_path: Path, server: EmbeddedPostgres, number: signal.Signals
) -> None:
    """Within a call of C: no handler in Python runs."""
    work = f"import psycopg2; psycopg2.connect({server.url!r}).cursor().execute('SELECT pg_sleep(600)')"
    program = run_stuck(tmp_path, "on_stop(lambda: None); stop_deadline.install(1.0)", work)
    try:
        assert program.stop(number, 20) == 128 + number
    finally:
        program.kill()
    assert f"not stopped 1 s after {number.name}" in program.said()
    assert "MainThread: <module> (<string>:" in program.said()
    assert "pg_sleep" not in program.said()


def test_a_thread_that_never_ends_keeps_no_process(tmp_path: Path) -> None:
    """The main thread has ended, and Python waits for the others."""
    work = "threading.Thread(target=threading.Event().wait, name='endless').start(); sys.exit(0)"
    handler = "on_stop(lambda: None); stop_deadline.install(1.0)"
    program = run_stuck(tmp_path, handler, work)
    try:
        assert program.stop(seconds=20) == 128 + signal.SIGTERM
    finally:
        program.kill()
    assert "endless: wait (threading.py:" in program.said()


def test_a_log_that_nobody_reads_keeps_no_process() -> None:
    work = "import logging\nwhile True: sys.stderr.write('x' * 65536)"
    code = STUCK.format(handler="on_stop(lambda: None); stop_deadline.install(1.0)", work=work)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.5)
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


INTERRUPTED = """
from audit_trail import cli

@cli.app.command()
def interrupted() -> None:
    exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM); os.getpid()")

cli.main()
"""


def test_an_interrupt_within_code_made_of_a_string_keeps_the_exit_code(tmp_path: Path) -> None:
    """As while a module that is loaded makes a dataclass."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "interrupted", "interrupted"], env=environment(), cwd=tmp_path, check=False
    )
    assert ended.returncode == 128 + signal.SIGTERM


PARTS = ("ingest", "project", "guard", "forward run", "serve")


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def own_kafka(session_folder: Path) -> Iterator[ApacheKafka]:
    with ApacheKafka(session_folder / "stopped-kafka") as kafka:
        yield kafka


@pytest.mark.needs_kafka
@pytest.mark.thorough
@pytest.mark.parametrize("what", ["both", "database", "kafka"])
def test_every_part_ends_while_what_it_needs_is_silent(
    tmp_path: Path, server: EmbeddedPostgres, own_kafka: ApacheKafka, what: str
) -> None:
    followers = tmp_path / "forwarding.toml"
    followers.write_text("", encoding="utf-8")
    settings = {
        "forwarding_file": str(followers),
        "database_url": server.url,
        "kafka_bootstrap_servers": own_kafka.bootstrap_servers,
        "kafka_create_topics": "true",
        "kafka_assignment": "static",
        "kafka_topics": f"stopping-{what}",
        "heads_interval_seconds": "1",
        "verify_interval_seconds": "2",
        "http_port": free_port(),
    }
    parts = {part: Program(tmp_path, *PROGRAM, *part.split(" "), **settings) for part in PARTS}
    stopped = {"database": [server.pid], "kafka": [kafka_pid(own_kafka)]}
    pids = [pid for name, each in stopped.items() if what in (name, "both") for pid in each]
    try:
        assert all(eventually(program.loaded) for program in parts.values())
        time.sleep(5)
        with frozen(*pids):
            time.sleep(5)
            for program in parts.values():
                assert program.process.poll() is None, program.said()
            for program in parts.values():
                program.process.terminate()
            began = time.monotonic()
            codes = {name: program.stop() for name, program in parts.items()}
            assert time.monotonic() - began < SECONDS + MARGIN
        for name, code in codes.items():
            assert code in (0, -signal.SIGTERM, 130, 128 + signal.SIGTERM), (name, code, parts[name].said())
            assert "Traceback" not in parts[name].said(), parts[name].said()
    finally:
        for program in parts.values():
            program.kill()


@pytest.mark.thorough
@pytest.mark.needs_kafka
def test_ingest_that_opens_partitions_while_the_database_is_silent_is_not_ready_and_ends(
    tmp_path: Path, server: EmbeddedPostgres, own_kafka: ApacheKafka
) -> None:
    topic, port = "stopping-settle", free_port()
    with closing(KafkaAdminClient(bootstrap_servers=own_kafka.bootstrap_servers)) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
        settings = {
            "database_url": server.url,
            "kafka_bootstrap_servers": own_kafka.bootstrap_servers,
            "kafka_assignment": "static",
            "kafka_topics": topic,
            "heads_topic": "",
            "metrics_port": port,
        }
        ingest = Program(tmp_path, *PROGRAM, "ingest", **settings)
        try:
            assert eventually(lambda: readiness(port) == [], seconds=60), ingest.said()
            with frozen(server.pid):
                admin.create_partitions({topic: 4})
                assert eventually(lambda: any("database" in it for it in readiness(port)), seconds=60)
                assert eventually(lambda: "partitions_wait" in ingest.said(), seconds=60), ingest.said()
                assert ingest.stop() in (0, 128 + signal.SIGTERM), ingest.said()
            assert "Traceback" not in ingest.said()
        finally:
            ingest.kill()


def readiness(port: str) -> list[str]:
    """The problems that the metrics port tells of; empty when it is ready."""
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=5)
    except httpx2.HTTPError as exc:
        return [type(exc).__name__]
    return [] if answer.status_code == httpx2.codes.OK else [answer.text]


def kafka_pid(kafka: ApacheKafka) -> int:
    assert kafka._process is not None
    return kafka._process.pid


@pytest.mark.parametrize(
    "command",
    [
        ("export", "events.ndjson", "--unrecorded", "a test"),
        pytest.param(("verify",), marks=pytest.mark.thorough),
        pytest.param(("projections", "rebuild", "--all"), marks=pytest.mark.thorough),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_ends_while_the_database_is_silent(
    tmp_path: Path, server: EmbeddedPostgres, command: tuple[str, ...], number: signal.Signals
) -> None:
    arguments = [str(tmp_path / each) if each.endswith(".ndjson") else each for each in command]
    with frozen(server.pid):
        program = Program(
            tmp_path, *PROGRAM, *arguments, database_url=server.url, database_silence_seconds="600"
        )
        try:
            assert eventually(program.loaded)
            time.sleep(3)
            assert program.process.poll() is None, program.said()
            code = program.stop(number)
        finally:
            program.kill()
    assert code in (75, 130, 128 + number), program.said()
    assert "Traceback" not in program.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loading", ["typer", "psycopg2", "uvicorn"])
def test_a_signal_while_modules_are_loaded_ends_a_part_at_once(
    tmp_path: Path, loading: str, number: signal.Signals
) -> None:
    """The command line itself loads the first module, the part's command the others. The signal comes in its midst."""
    signalled = f"import os\ntry:\n    os.kill(os.getpid(), {number.value})\n    os.getpid()\n"
    translated = "except BaseException as exc:\n    raise ImportError('hidden-word') from exc\n"
    (tmp_path / f"{loading}.py").write_text(signalled + translated, encoding="utf-8")
    shadowed = environment(database_url="postgresql://127.0.0.1:1/x") | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [*PROGRAM, "serve"], env=shadowed, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (128 + number, "")


def test_ctrl_c_while_the_program_is_loaded_shows_no_traceback(tmp_path: Path) -> None:
    program = Program(tmp_path, *PROGRAM, "verify", database_url="postgresql://127.0.0.1:1/x")
    try:
        assert eventually(program.loads)
        code = program.stop(signal.SIGINT)
    finally:
        program.kill()
    assert code in (-signal.SIGINT, 75, 130)
    assert "Traceback" not in program.said()
