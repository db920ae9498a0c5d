"""Apache Kafka itself, one node in KRaft mode on loopback, with its data on disk."""

from __future__ import annotations

import base64
import signal
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from audit_trail.embedded import orphans
from audit_trail.embedded.broker import LOOPBACK, await_answer, check_free, free_ports
from audit_trail.embedded.folder import ServerFolder, write_file
from audit_trail.embedded.java import Availability, availability, fetch_jars, java
from audit_trail.embedded.process import WatchedProcess
from domain.errors import ConfigurationError

POM = Path(__file__).with_name("kafka_pom.xml")
START_LIMIT = 90.0  # seconds; it takes 5 s on two free cores
ORPHAN_STEPS = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0))

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # One node: nothing can be replicated.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # The defaults of 50 partitions each cost seconds at the first use.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A misspelt topic is an error, not a new topic.
    "auto.create.topics.enable": "false",
    # The default of 128 MiB is a quarter of this heap.
    "log.cleaner.dedupe.buffer.size": "8388608",
}


def available(pom: Path = POM) -> Availability:
    """Whether Java 17 or newer and Maven (or the jars, from an earlier start) are there, and what is missing."""
    return availability(pom)


class ApacheKafka:
    """Apache Kafka with its data, configuration and log in `data_dir`, which is created when absent.

    `pom` names the jars, which Maven fetches once into the user's cache. `port` is a port to take instead of a free
    one, `heap` the most that Java may use, and `settings` are server properties that override SETTINGS.
    """

    kind: ClassVar[str] = "kafka"
    keeps_data: ClassVar[bool] = True

    def __init__(
        self,
        data_dir: Path,
        *,
        pom: Path = POM,
        port: int | None = None,
        heap: str = "512m",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / "kafka.log"
        self._pom = pom
        self._port = port
        self._controller_port: int | None = None
        self._heap = heap
        self._settings = {**SETTINGS, **(settings or {})}
        self._data = self.data_dir / "data"
        self._properties = self.data_dir / "server.properties"
        self._folder = ServerFolder(self.data_dir)
        self._process: WatchedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``; the same after a restart of this object."""
        if self._port is None:
            raise ConfigurationError("Apache Kafka has no address before its first start")
        return f"{LOOPBACK}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the broker runs."""
        return self._process is not None and self._process.running

    def start(self) -> Self:
        """Fetch it when needed, format its storage at the first start, and return once it answers.

        Raises ConfigurationError or UnavailableError.
        """
        if not (found := available(self._pom)):
            raise ConfigurationError(f"Apache Kafka can't run here: {found.reason}")
        classpath = f"{fetch_jars(self._pom)}/*"
        self._folder.acquire()
        try:
            orphans.stop(self.data_dir, "java", ORPHAN_STEPS)
            self._run(classpath)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it gracefully; the data stays."""
        if self._process:
            self._process.stop()
            self._process = None
        self._folder.release()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.kill()
        self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, classpath: str) -> None:
        self._choose_ports()
        lines = (f"{name}={value}\n" for name, value in self._all_settings().items())
        write_file(self._properties, "".join(lines))
        if not (self._data / "meta.properties").exists():
            self._format(classpath)
        self._process = WatchedProcess(
            [java(), *self._java_options(), "-cp", classpath, "kafka.Kafka", self._properties],
            name="Apache Kafka",
            log=self.log,
            cwd=self.data_dir,
        ).start()
        await_answer(self.bootstrap_servers, self._process, START_LIMIT)

    def _choose_ports(self) -> None:
        if self._controller_port is None:
            client, self._controller_port = free_ports(2)
            self._port = self._port or client
        for port in (self._port, self._controller_port):
            if port:
                check_free(port)

    def _all_settings(self) -> dict[str, str]:
        controller = f"{LOOPBACK}:{self._controller_port}"
        return {
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self._data),
            **self._settings,
        }

    def _java_options(self) -> list[str]:
        """The serial collector: with a heap this small, the others only cost processor time."""
        return [f"-Xmx{self._heap}", "-XX:+UseSerialGC", "-Djava.awt.headless=true", "-Dlog4j2.level=WARN"]

    def _format(self, classpath: str) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "_")
        command: list[str | Path] = [
            java(),
            *self._java_options(),
            "-XX:TieredStopAtLevel=1",
            "-cp",
            classpath,
        ]
        done = subprocess.run(
            [*command, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", self._properties],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConfigurationError(
                f"{self._data} could not be formatted for Apache Kafka:\n{(done.stdout + done.stderr).strip()[-2000:]}"
            )
