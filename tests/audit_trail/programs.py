"""The program as its users run it: a process of its own, told by variables."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from audit_trail.embedded.process import GuardedProcess
from tests.signing import TEXT
from tests.tokens import ADMIN, ISSUER, JWK

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


def run(
    *arguments: str | Path, settings: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(**(settings or {})),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def running(folder: Path, *parts: str, settings: Mapping[str, str]) -> Iterator[dict[str, GuardedProcess]]:
    """Long-running parts, stopped at the end."""
    processes = {
        part: GuardedProcess(
            [*PROGRAM, part], name=part, log=folder / f"{part}.log", environment=environment(**settings)
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
