"""Kafka Connect with Debezium's connector for PostgreSQL, as one process on loopback."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from audit_trail.embedded.broker import free_ports
from audit_trail.embedded.java import java
from audit_trail.embedded.process import WatchedProcess

_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN")


class Connect:
    """Runs one connector with `properties`, in `folder`, where it keeps how far it read. Start it with `with`."""

    def __init__(
        self, folder: Path, jars: Path, bootstrap_servers: str, properties: Mapping[str, str]
    ) -> None:
        (port,) = free_ports(1)
        folder.mkdir()
        worker = {
            "bootstrap.servers": bootstrap_servers,
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.storage.file.filename": str(folder / "offsets"),
            "listeners": f"http://127.0.0.1:{port}",
        }
        self._process = WatchedProcess(
            [
                *(java(), *_OPTIONS, "-cp", f"{jars}/*", "org.apache.kafka.connect.cli.ConnectStandalone"),
                _written(folder / "worker.properties", worker),
                _written(folder / "connector.properties", properties),
            ],
            name="Kafka Connect",
            log=folder / "connect.log",
            cwd=folder,
        )

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def kill(self) -> None:
        """End it as a crash would, and start it again."""
        self._process.kill()
        self._process.start()

    def log(self) -> str:
        """The end of its log."""
        return self._process.log_tail()


def _written(file: Path, properties: Mapping[str, str]) -> Path:
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return file
