"""File access in folders that others may also write to: no planted link, pipe or device is followed, read or replaced.

A `Folder` is an open descriptor, and all names are relative to it. So the checked folder is the one that is used, even
if somebody renames it or replaces it with a link in between.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from domain.errors import ConfigurationError
from event_store.files.paths import limited, locate, opened, opened_input, require, require_own

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


class Folder:
    """An open folder. Close it, or use it with `with`.

    All methods raise `OSError` when the system refuses, and `ConfigurationError` when a name has an unexpected type.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Use `open` or `subfolder`; `path` is for messages."""
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def open(cls, path: Path, *, follow: bool = True) -> Self:
        """Open the folder at `path`. Without `follow`, `path` itself must not be a link.

        Raises `ConfigurationError` when every user may rename and remove files in it.
        """
        parent, name = locate(path, follow=follow)
        try:
            require(path, os.stat(name, dir_fd=parent, follow_symlinks=False), stat.S_IFDIR)
            folder = cls(path, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent))
        finally:
            os.close(parent)
        try:
            folder._require_protected()
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def make(cls, path: Path, mode: int = PRIVATE_FOLDER) -> Self:
        """Open the folder at `path`; create it (with `mode`) and its parents if missing. `path` is never a link."""
        missing = []
        while not os.path.lexists(path):
            missing.append(path.name)
            path = path.parent
        folder = cls.open(path, follow=bool(missing))
        for name in reversed(missing):
            with folder:
                inner = folder._enter(name, mode)
            folder = inner
        return folder

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def names(self) -> list[str]:
        """The names in it, sorted."""
        return sorted(os.listdir(self.descriptor))  # noqa: PTH208 - a descriptor has no Path

    def state(self, name: str) -> os.stat_result | None:
        """The status of this name (of a link itself, not its target), or None."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def has_file(self, name: str) -> bool:
        """Whether a regular file has this name. Raises `ConfigurationError` when something else has it."""
        state = self.state(name)
        if state is not None:
            require(self.path / name, state, stat.S_IFREG)
        return state is not None

    def subfolder(self, name: str, mode: int = PRIVATE_FOLDER) -> Self:
        """Open the subfolder `name`, and create it when missing. No other user may have write access."""
        return self._enter(name, mode)._owned()

    def existing(self, name: str) -> Self | None:
        """Open the subfolder `name`; None when it is missing. No other user may have write access."""
        try:
            inner = self._inner(name)
        except FileNotFoundError:
            return None
        return inner._owned()

    def size(self) -> int:
        """The bytes of all files in it and below. What disappears meanwhile does not count."""
        total = 0
        for _, _, names, descriptor in os.fwalk(".", dir_fd=self.descriptor):
            for name in names:
                with suppress(FileNotFoundError):
                    total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
        return total

    def require_own(self) -> None:
        """Raise `ConfigurationError` when a user other than root and this one may write to this folder."""
        state = os.fstat(self.descriptor)
        if state.st_uid not in {0, os.geteuid()}:
            raise ConfigurationError(f"{self.path} belongs to another user: name another folder")
        if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(f"others may write to {self.path}: chmod go-w {self.path}")

    def _enter(self, name: str, mode: int) -> Self:
        try:
            os.mkdir(name, PRIVATE_FOLDER, dir_fd=self.descriptor)
            made = True
        except FileExistsError:
            made = False
        inner = self._inner(name)
        if made:
            os.fchmod(inner.descriptor, mode)  # not reduced by the umask
        return inner

    def _inner(self, name: str) -> Self:
        path = self.path / name
        require(path, os.stat(name, dir_fd=self.descriptor, follow_symlinks=False), stat.S_IFDIR)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        return type(self)(path, os.open(name, flags, dir_fd=self.descriptor))

    def _owned(self) -> Self:
        """This folder, open; closed when `require_own` raises."""
        try:
            self.require_own()
        except BaseException:
            self.close()
            raise
        return self

    def read(self, name: str, limit: int) -> bytes:
        """Read a regular file of at most `limit` bytes."""
        with self.open_file(name, "rb") as file:
            return limited(self.path / name, file, limit)

    def open_file(self, name: str, mode: str, permissions: int = PRIVATE_FILE) -> Any:
        """Open a regular file: ``rb``, ``xb`` (must not exist), ``ab`` or ``wb`` (created when missing).

        A file that is written must belong to this user and have no other name: writing through a hard link would change
        another file.
        """
        flags = {
            "rb": os.O_RDONLY,
            "xb": os.O_RDWR | os.O_CREAT | os.O_EXCL,
            "ab": os.O_RDWR | os.O_CREAT | os.O_APPEND,
            "wb": os.O_RDWR | os.O_CREAT,
        }[mode]
        path = self.path / name
        descriptor = opened(path, name, flags, permissions, self.descriptor)
        try:
            if mode in {"ab", "wb"}:
                require_own(path, os.fstat(descriptor))
            if mode == "wb":
                os.ftruncate(descriptor, 0)
            return os.fdopen(descriptor, {"xb": "w+b", "wb": "w+b", "ab": "a+b"}.get(mode, mode))
        except BaseException:
            os.close(descriptor)
            raise

    def replace(self, name: str, data: bytes, permissions: int = PRIVATE_FILE) -> None:
        """Write a file atomically and durably. It replaces an older file of that name."""
        draft = f".{name}.{secrets.token_hex(8)}"
        self.has_file(name)
        try:
            with self.open_file(draft, "xb", permissions) as file:
                os.fchmod(file.fileno(), permissions)
                file.write(data)
                settle(file)
            self.rename(draft, name)
        except BaseException:
            self.remove(draft)
            raise

    def rename(self, old: str, new: str, target: Folder | None = None) -> None:
        """Rename within this folder, or into `target`. An existing name is replaced, never followed."""
        into = (target or self).descriptor
        os.rename(old, new, src_dir_fd=self.descriptor, dst_dir_fd=into)

    def link(self, old: str, new: str, target: Folder) -> None:
        """Link a file into `target`. Unlike a rename, it replaces nothing."""
        os.link(old, new, src_dir_fd=self.descriptor, dst_dir_fd=target.descriptor, follow_symlinks=False)

    def remove(self, name: str) -> None:
        """Remove a file, or the link itself, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def remove_empty(self, name: str) -> None:
        """Remove an empty folder, if it exists."""
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=self.descriptor)

    def remove_folder(self, name: str) -> None:
        """Remove a folder with its content. Links inside are removed; their targets are not touched."""
        shutil.rmtree(name, dir_fd=self.descriptor)

    def settle(self) -> None:
        """Flush the names in this folder to the disk."""
        os.fsync(self.descriptor)

    @contextmanager
    def locked(self, name: str, *, wait: bool) -> Iterator[None]:
        """Hold the lock file `name`. Without `wait`, raises `BlockingIOError` when another process holds it."""
        with self.open_file(name, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def _require_protected(self) -> None:
        mode = os.fstat(self.descriptor).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise ConfigurationError(
                f"anyone may replace files in {self.path}: chmod o-w {self.path}, or name another folder"
            )


def read_file(path: Path, limit: int, *, closed_to: int = stat.S_IWOTH) -> bytes:
    """Read a regular file that a setting or the command line names, of at most `limit` bytes.

    Use it for secrets, for code, and for files that are read more than once. Links are followed when root, this user,
    or the owner of their folder created them: containers mount secrets as links. Raises `ConfigurationError` for a
    pipe, a device, a file that is too large, or one with a permission in `closed_to`; and `OSError`. A file of root may
    be readable for its group.
    """
    parent, name = locate(path, follow=True)
    try:
        descriptor = opened(path, name, os.O_RDONLY, 0, parent)
    finally:
        os.close(parent)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        # systemd and Kubernetes give a service its secrets as files of root that the group of the service reads.
        given = stat.S_IRGRP if state.st_uid == 0 != os.geteuid() else 0
        if state.st_mode & closed_to & ~given:
            fix = "chmod 600" if closed_to & stat.S_IROTH else "chmod o-w"
            raise ConfigurationError(f"{path} is open to others: {fix} {path}")
        return limited(path, file, limit)


def read_input(path: Path, limit: int) -> bytes:
    """Read the input of a command once: a file, a pipe or `/dev/stdin`, of at most `limit` bytes.

    Links are followed as in `read_file`. Raises `ConfigurationError` when the input is larger, and `OSError`.
    """
    with os.fdopen(opened_input(path), "rb") as file:
        return limited(path, file, limit)


def create_file(path: Path, data: bytes, permissions: int = PRIVATE_FILE) -> None:
    """Create a file. Raises `FileExistsError` when the name exists, even as a dangling link."""
    with Folder.open(path.parent) as folder, folder.open_file(path.name, "xb", permissions) as file:
        file.write(data)
        settle(file)


def settle(file: Any) -> None:
    """Flush the file to the disk."""
    file.flush()
    os.fsync(file.fileno())
