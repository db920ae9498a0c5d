"""rsyslog with TLS, which writes each message as it received it to a line of a file."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from typing import Literal

from audit_trail.embedded.broker import LOOPBACK, free_ports
from tests.forwarding.certificates import Authority
from tests.installed import installed
from tests.waiting import eventually

Driver = Literal["ossl", "gtls"]
_PLACE = re.compile(r' position="(-?\d+)"(?: previousPosition="(\d+)")?')


class Rsyslog:
    """A server that can be stopped and started again. It wants clients with the name `trail.example`."""

    def __init__(self, folder: Path, authority: Authority, driver: Driver = "ossl") -> None:
        (self.port,) = free_ports(1)
        self.file = folder / f"{driver}.received"
        self._folder, self._driver = folder, driver
        self._pid = folder / f"{driver}.pid"
        server = authority.certificate(f"{driver}.server.example", LOOPBACK)
        self._config = folder / f"{driver}.conf"
        self._config.write_text(
            f"""global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriverCAFile="{authority.file}"
              defaultNetstreamDriverCertFile="{server.file}" defaultNetstreamDriverKeyFile="{server.key}")
            module(load="imtcp" streamDriver.name="{driver}" streamDriver.mode="1" streamDriver.authMode="x509/name"
              permittedPeer=["trail.example"])
            input(type="imtcp" port="{self.port}" address="{LOOPBACK}")
            template(name="received" type="string" string="%rawmsg%\\n")
            action(type="omfile" file="{self.file}" template="received")
            """,
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [installed("rsyslogd") or "", "-n", "-f", str(self._config), "-i", str(self._pid)]
        log = (self._folder / f"{self._driver}.log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._listens)

    def stop(self) -> None:
        """As an administrator does: it writes what it has."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / f"{self._driver}.log").read_text()
        try:
            create_connection((LOOPBACK, self.port), timeout=5).close()
        except OSError:
            return False
        return True

    @property
    def messages(self) -> list[str]:
        """The messages so far."""
        return self.file.read_text("utf-8").splitlines() if self.file.exists() else []

    @property
    def places(self) -> list[tuple[int, int | None]]:
        """Position and previous position of each message."""
        found = (_PLACE.search(each) for each in self.messages)
        return [
            (int(each[1]), None if each[2] is None else int(each[2])) for each in found if each is not None
        ]


@contextmanager
def rsyslog(folder: Path, authority: Authority, driver: Driver = "ossl") -> Iterator[Rsyslog]:
    server = Rsyslog(folder, authority, driver)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def first_of_each(places: list[tuple[int, int | None]]) -> list[tuple[int, int | None]]:
    """The places without those that came again."""
    return list(dict.fromkeys(places))
