"""Prometheus's Alertmanager, which asks nobody and tells nobody."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit_trail.embedded.broker import LOOPBACK, free_ports
from tests.installed import installed
from tests.waiting import eventually


class RunningAlertmanager:
    """Its base address, and its alerts."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"

    @property
    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("/api/v2/alerts")
        return found

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:  # noqa: S310 - of this machine
                return bool(answer.status == 200)
        except OSError:
            return False

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310 - of this machine
            return json.load(answer)


@contextmanager
def alertmanager(folder: Path) -> Iterator[RunningAlertmanager]:
    config = folder / "alertmanager.yaml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n", encoding="utf-8")
    (port,) = free_ports(1)
    command = [
        installed("prometheus-alertmanager") or "",
        f"--config.file={config}",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--cluster.listen-address=",
    ]
    with (folder / "alertmanager.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    found = RunningAlertmanager(port)
    try:
        eventually(lambda: process.poll() is not None or found.is_ready())
        assert process.poll() is None, (folder / "alertmanager.log").read_text()
        yield found
    finally:
        process.terminate()
        process.wait(30)
