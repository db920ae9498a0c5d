"""The distribution stands alone: it needs msgspec only, has all its files, and its generated modules are up to date."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from audit_trail.docs import publisher_source

FOLDER = Path(__file__).parents[2] / "publisher"

_ALONE = """
import sys
import audit_trail_publisher, audit_trail_publisher.testing
from audit_trail_publisher.errors import ConfigurationError
assert audit_trail_publisher.__file__.startswith(sys.prefix)
trail = audit_trail_publisher.Publisher("s", url="http://127.0.0.1:9", spool=sys.argv[1], close_seconds=0)
trail.user.logged_in(actor="dr-smith")
try:
    import audit_trail_publisher.transports.kafka
except ConfigurationError as exc:
    print(exc)
print(trail.health().spool_events)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(
        FOLDER, folder / "publisher", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    )
    _run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", folder, source),
    )
    [built] = folder.glob("*.whl")
    return built


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    package = FOLDER / "audit_trail_publisher"
    files = {
        file.relative_to(FOLDER).as_posix()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.name != ".sqlfluff"
    }
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == files


def test_it_is_installed_beside_msgspec_alone_and_works(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    [packages] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    _copy_installed("msgspec", packages)
    # Without an index: pip fails when msgspec is not all that the distribution needs.
    _run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index"),
        *("--disable-pip-version-check", wheel),
    )
    done = _run(python, "-I", "-c", _ALONE, tmp_path / "spool")
    assert done.splitlines() == [
        "KafkaTransport needs kafka-python: install audit-trail-publisher[kafka]",
        "1",
    ]
    command = tmp_path / "venv" / "bin" / "audit-trail-publisher"
    assert _run(command, "status", tmp_path / "spool").startswith("waiting: 1 events")
    assert "CREATE TABLE IF NOT EXISTS audit_outbox" in _run(command, "outbox-tables")


def test_what_is_generated_is_what_the_server_says_now() -> None:
    assert publisher_source.outdated() == [], "run `python -m audit_trail.docs.publisher_source`"


def _copy_installed(name: str, packages: Path) -> None:
    """Install a distribution of this environment in another: a test has no network."""
    for file in distribution(name).files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def _run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
