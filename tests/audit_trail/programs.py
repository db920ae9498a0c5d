"""The program as its users run it: a process of its own, told by variables."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from audit_trail.embedded.process import WatchedProcess
from tests.signing import TEXT
from tests.tokens import ADMIN, ISSUER, JWK

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "audit_trail"]


def environment(**settings: str) -> dict[str, str]:
    """The variables of this process, without ours except `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUDIT_TRAIL_")}
    kept["AUDIT_TRAIL_LOG_KEY"] = TEXT
    kept["AUDIT_TRAIL_AUTH_ISSUERS"] = f"{ISSUER} {_key_set()}"
    return kept | {f"AUDIT_TRAIL_{name.upper()}": value for name, value in settings.items()}


@cache
def _key_set() -> Path:
    """A file with the key of the tests' issuer, for as long as this process runs."""
    folder = tempfile.TemporaryDirectory(prefix="audit-trail-test-keys-")
    atexit.register(folder.cleanup)
    file = Path(folder.name) / "keys.jwks.json"
    file.write_text(json.dumps({"keys": [JWK]}), encoding="utf-8")
    return file


def start(
    *arguments: str | Path, settings: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process that begins as a user's does."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(**(settings or {})),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run(
    *arguments: str | Path, settings: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process that has the product's modules already."""
    server = _idle.pop() if _idle else ForkServer()
    done = server.run(list(map(str, arguments)), environment(**(settings or {})), timeout)
    _idle.append(server)
    return done


class ForkServer:
    """The process of `fork_server.py`; it ends with this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.audit_trail.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
        )
        atexit.register(self.close)

    def run(
        self, arguments: list[str], environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Raises `subprocess.TimeoutExpired` when it had to be killed."""
        assert self._process.stdin is not None
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as errors:
            command = {"arguments": arguments, "environment": environment, "folder": str(Path.cwd())}
            self._process.stdin.write(json.dumps(command | {"files": [out.name, errors.name]}) + "\n")
            alarm = threading.Timer(timeout, os.kill, (self._answer(), signal.SIGKILL))
            alarm.start()
            code = self._answer()
            expired = not alarm.is_alive()
            alarm.cancel()
            alarm.join()
            output = [Path(each.name).read_text(encoding="utf-8") for each in (out, errors)]
        if expired:
            raise subprocess.TimeoutExpired(arguments, timeout, *output)
        return subprocess.CompletedProcess(arguments, code, *output)

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


_idle: list[ForkServer] = []
"""One is enough, where no test runs two commands at once."""


@contextmanager
def running(folder: Path, *parts: str, settings: Mapping[str, str]) -> Iterator[dict[str, WatchedProcess]]:
    """Long-running parts, by the words of their commands, stopped at the end."""
    processes = {
        part: WatchedProcess(
            [*PROGRAM, *part.split(" ")],
            name=part,
            log=folder / f"{part.partition(' ')[0]}.log",
            environment=environment(**settings),
        )
        for part in parts
    }
    try:
        for process in processes.values():
            process.start()
        yield processes
    finally:
        for process in processes.values():
            process.stop()


def eventually(check: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer of `check`; the last answer after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := check()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


def fetch(url: str, body: Any = None, headers: Mapping[str, str] = ADMIN) -> tuple[int, Any]:
    """Status and JSON of an answer; a POST when there is a body. Status 0 while nothing listens."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except urllib.error.URLError:
        return 0, None
