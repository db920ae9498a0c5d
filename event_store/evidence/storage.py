"""The target of a kit: a folder or a zip. Only its owner can read it, and it is written completely or not at all."""

from __future__ import annotations

import secrets
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from domain.errors import ConfigurationError
from event_store.files.folders import Folder

_CHUNK = 1 << 20
_KIT_FILES = ("manifest.json", "SHA256SUMS", "verify.py")


class Store(Protocol):
    """Receives the files of a kit, one after the other."""

    def add(self, name: str, source: IO[bytes]) -> str:
        """Write a file from the current position of `source`. Returns its SHA-256 in hex."""
        ...


class _Folder:
    def __init__(self, folder: Folder, open: ExitStack) -> None:
        self._folder = folder
        self._open = open
        self._inside: dict[str, Folder] = {"": folder}

    def add(self, name: str, source: IO[bytes]) -> str:
        where, _, file_name = name.rpartition("/")
        if where not in self._inside:
            self._inside[where] = self._open.enter_context(self._folder.subfolder(where))
        with self._inside[where].open_file(file_name, "xb") as file:
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
    """A store that becomes `out` at the end, or leaves nothing after an exception.

    A path that ends in .zip becomes a zip with one folder in it. `force` replaces a file, or a folder that is a kit; no
    other folder is ever removed. Raises `ConfigurationError` when the path can't be written, or when other users may
    replace files in its folder.
    """
    with _translated(out), _opened(out) as around:
        _require_free(out, around, force=force)
        working_name = f".{out.name}.{secrets.token_hex(8)}"
        try:
            with around.subfolder(working_name) as working, ExitStack() as inside:
                if _is_zip(out):
                    with working.open_file("kit", "xb") as file, zipfile.ZipFile(file, "w") as archive:
                        yield _Zip(archive, out.stem or "evidence", at)
                else:
                    yield _Folder(inside.enter_context(working.subfolder("kit")), inside)
                _publish(out, around, working, force=force)
        finally:
            around.remove_folder(working_name)


def require_free(out: Path, *, force: bool) -> None:
    """Raise `ConfigurationError` when `out` exists and may not be replaced, or its folder does not exist."""
    with _translated(out), _opened(out) as around:
        _require_free(out, around, force=force)


@contextmanager
def _opened(out: Path) -> Iterator[Folder]:
    if not out.name or not out.parent.is_dir():
        raise ConfigurationError(f"{out}: there is no folder {out.parent} to write it to")
    with Folder.open(out.parent) as around:
        yield around


def _require_free(out: Path, around: Folder, *, force: bool) -> None:
    state = around.state(out.name)
    if state is None:
        return
    if not force:
        raise ConfigurationError(f"{out} exists already: choose another path, or add --force")
    if stat.S_IFMT(state.st_mode) != (stat.S_IFREG if _is_zip(out) else stat.S_IFDIR):
        raise ConfigurationError(f"{out} exists already and is something else: it is not replaced")
    if not _is_zip(out):
        with Folder.open(out, follow=False) as folder:
            if not all(folder.has_file(name) for name in _KIT_FILES):
                raise ConfigurationError(f"{out} is a folder but not an evidence kit: it is not replaced")


def _publish(out: Path, around: Folder, working: Folder, *, force: bool) -> None:
    _require_free(out, around, force=force)
    if not _is_zip(out):
        if around.state(out.name) is not None:
            around.rename(out.name, "replaced", working)
        working.rename("kit", out.name, around)
    elif force:
        working.rename("kit", out.name, around)
    else:
        working.link("kit", out.name, around)  # unlike a rename, it replaces no file created in the meantime


def _is_zip(out: Path) -> bool:
    return out.suffix.lower() == ".zip"


@contextmanager
def _translated(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(f"{out} can't be written: {exc.strerror or exc}") from exc
