"""The jars of Apache Kafka, fetched by Maven once, and the Java that runs them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from domain.errors import ConfigurationError, UnavailableError

OLDEST_JAVA = 17  # KIP-1013: what the server of Kafka 4 needs
MAVEN_LIMIT = 300.0  # seconds, for 45 MB from a repository


class Availability(NamedTuple):
    """Whether something can be used here; `reason` says why not, or what was found. True and false like `ok`."""

    ok: bool
    reason: str

    def __bool__(self) -> bool:
        """Whether it can be used."""
        return self.ok


def availability(pom: Path) -> Availability:
    """Whether Apache Kafka can run here: Java 17 or newer, and Maven unless the jars were fetched before."""
    version = _java_version()
    if version is None:
        return Availability(False, "no Java was found (Java 17 or newer is needed)")
    if version < OLDEST_JAVA:
        return Availability(False, f"Java {version} was found, and Java {OLDEST_JAVA} or newer is needed")
    if not pom.is_file():
        return Availability(False, f"{pom} is missing, which names the jars")
    if not jar_folder(pom).is_dir() and shutil.which("mvn") is None:
        return Availability(False, "no Maven (mvn) was found")
    return Availability(True, f"Java {version}")


def java() -> Path:
    """The Java program: that of JAVA_HOME, else the first on the search path."""
    home = os.environ.get("JAVA_HOME")
    if home and (candidate := Path(home, "bin", "java")).is_file():
        return candidate
    found = shutil.which("java")
    if found is None:
        raise ConfigurationError("no Java was found; install Java 17 or newer")
    return Path(found)


def jar_folder(pom: Path) -> Path:
    """Where the jars that this pom names are kept: another pom, another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "audit-trail" / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"


def fetch_jars(pom: Path) -> Path:
    """The folder with all jars, fetched when they are not there yet. Raises UnavailableError when Maven fails."""
    folder = jar_folder(pom)
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError("no Maven (mvn) was found, which fetches Apache Kafka")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as work:
        jars = Path(work, "jars")
        _run_maven(maven, pom, jars)
        try:
            jars.rename(folder)
        except OSError as exc:
            if not folder.is_dir():  # else another process was faster, with the same jars
                raise ConfigurationError(f"{folder} can't be written: {exc}") from exc
    return folder


def _run_maven(maven: str, pom: Path, jars: Path) -> None:
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    try:
        done = subprocess.run(
            [maven, "-q", "-B", "-f", pom.absolute(), *goal],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=MAVEN_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise UnavailableError(f"Maven did not fetch Apache Kafka within {MAVEN_LIMIT:.0f} s") from exc
    if done.returncode:
        raise UnavailableError(
            f"Maven could not fetch Apache Kafka:\n{(done.stdout + done.stderr).strip()[-2000:]}"
        )


def _java_version() -> int | None:
    try:
        done = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False)
    except (ConfigurationError, OSError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(found[1]) if found else None
