"""Where a kit is written: a folder or a zip. Only its owner may read it, and it is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from domain.errors import ConfigurationError

_CHUNK = 1 << 20
_MARKS = ("manifest.json", "SHA256SUMS", "verify.py")


class Store(Protocol):
    """Takes the files of a kit, one after the other."""

    def add(self, name: str, source: IO[bytes]) -> str:
        """Write a file, from where `source` stands; returns its SHA-256 in hex."""
        ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, name: str, source: IO[bytes]) -> str:
        target = self._path / name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            return _copy(source, file)


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, folder: str, at: datetime) -> None:
        self._archive = archive
        self._folder = folder
        self._at = (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second)

    def add(self, name: str, source: IO[bytes]) -> str:
        info = zipfile.ZipInfo(f"{self._folder}/{name}", self._at)
        info.external_attr = 0o100600 << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(info, "w", force_zip64=True) as file:
            return _copy(source, file)


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    digest = sha256()
    for chunk in iter(lambda: source.read(_CHUNK), b""):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


@contextmanager
def new_kit(out: Path, at: datetime, *, force: bool) -> Iterator[Store]:
    """A store that becomes `out` at the end, or leaves nothing when something is raised.

    A path that ends in .zip is a zip with one folder in it. `force` replaces a file, or a folder that is a kit; no
    other folder is ever removed. Raises `ConfigurationError` when the path can't be written.
    """
    require_free(out, force=force)
    with _translated(out), tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as working:
        part = Path(working) / "kit"
        if out.suffix.lower() == ".zip":
            with (
                os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file,
                zipfile.ZipFile(file, "w") as archive,
            ):
                yield _Zip(archive, out.stem or "evidence", at)
            _publish_file(part, out, force=force)
        else:
            part.mkdir(mode=0o700)
            yield _Folder(part)
            if force and out.exists():
                shutil.move(out, Path(working) / "replaced")
            part.rename(out)


def require_free(out: Path, *, force: bool) -> None:
    """Raise `ConfigurationError` when `out` is there and may not be replaced, or its folder is not there."""
    if not out.name or not out.parent.is_dir():
        raise ConfigurationError(f"{out}: there is no folder {out.parent} to write it to")
    if not os.path.lexists(out):
        return
    if not force:
        raise ConfigurationError(f"{out} is there already: choose another path, or add --force")
    is_zip = out.suffix.lower() == ".zip"
    if out.is_symlink() or is_zip != out.is_file():
        raise ConfigurationError(f"{out} is there already and is something else: it is not replaced")
    if not is_zip and not all((out / mark).is_file() for mark in _MARKS):
        raise ConfigurationError(f"{out} is a folder and no evidence kit: it is not replaced")


def _publish_file(part: Path, out: Path, *, force: bool) -> None:
    if force:
        part.replace(out)
    else:
        os.link(part, out)  # unlike a rename, it never replaces what came in the meantime


@contextmanager
def _translated(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(f"{out} can't be written: {exc.strerror or exc}") from exc
