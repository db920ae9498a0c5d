"""Find and open files without following planted links. See `event_store.files.folders`."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

from domain.errors import ConfigurationError

_MAX_LINKS = 40
"""Links on the path to one file; Linux has the same limit."""
_TRAVERSE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
"""Opens a folder only to traverse it. With O_PATH, execute permission is enough."""
_REGULAR = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""Without O_NONBLOCK, opening a pipe would block until its other end opens."""
_INPUTS = frozenset({stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR})
_INHERITED = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/([0-9]{1,9})")
"""Names of inherited descriptors: `< file`, a pipe of the shell, or `<(command)`."""
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def opened(path: Path, name: str, flags: int, permissions: int, parent: int) -> int:
    """Open a regular file and return its descriptor."""
    try:
        descriptor = os.open(name, flags | _REGULAR, permissions, dir_fd=parent)
    except OSError as exc:
        if exc.errno in {errno.ELOOP, errno.EMLINK}:  # Linux, and BSD, for a link
            raise ConfigurationError(
                f"{path} is not a file: it is a link. Remove it, or name another path"
            ) from exc
        if exc.errno == errno.ENXIO:
            raise ConfigurationError(
                f"{path} is not a file: it is a pipe or a socket. Remove it, or name another path"
            ) from exc
        exc.filename = str(path)
        raise
    try:
        require(path, os.fstat(descriptor), stat.S_IFREG)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def opened_input(path: Path) -> int:
    """Open a regular file, a pipe or a character device for a command that reads it once.

    Opening a named pipe blocks until somebody writes to it. Links are followed as in `locate`.
    """
    inherited = _INHERITED.fullmatch(str(path))
    if inherited:
        return os.dup(int(inherited[1] or 0))
    parent, name = locate(path, follow=True)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NOCTTY, dir_fd=parent)
    except OSError as exc:
        exc.filename = str(path)
        raise
    finally:
        os.close(parent)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind not in _INPUTS:
        os.close(descriptor)
        raise ConfigurationError(f"{path} is {_KINDS.get(kind, 'no file')}: name a file")
    return descriptor


def require(path: Path, state: os.stat_result, kind: int) -> None:
    """Raise `ConfigurationError` unless `path` has the type `kind`: `stat.S_IFREG` or `stat.S_IFDIR`."""
    found = stat.S_IFMT(state.st_mode)
    if found != kind:
        wanted = "folder" if kind == stat.S_IFDIR else "file"
        is_a = _KINDS.get(found, "an ordinary file")
        raise ConfigurationError(f"{path} is not a {wanted}: it is {is_a}. Remove it, or name another path")


def require_own(path: Path, state: os.stat_result) -> None:
    """Raise `ConfigurationError` unless the file belongs to this user and has no other name."""
    if state.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user: remove it")
    if state.st_nlink != 1:
        raise ConfigurationError(f"{path} is a hard link to another file: remove it")


def limited(path: Path, file: Any, limit: int) -> bytes:
    """The whole file. Raises `ConfigurationError` when it has more than `limit` bytes."""
    data: bytes = file.read(limit + 1)
    if len(data) > limit:
        raise ConfigurationError(f"{path} is larger than {limit} bytes")
    return data


def locate(path: Path, *, follow: bool) -> tuple[int, str]:
    """The descriptor of the folder of `path`, and the name in it. The name may be a link only without `follow`.

    Links are followed one by one, so that each can be checked: in a shared folder, a link of another user could lead
    anywhere.
    """
    pending = list(reversed(path.parts)) or ["."]
    at = os.open(".", _TRAVERSE)
    links = 0
    try:
        while True:
            name = pending.pop()
            if name == "/":
                os.close(at)
                at = os.open("/", _TRAVERSE)
                name = pending.pop() if pending else "."
            state = _state(name, at, path)
            if state is not None and stat.S_ISLNK(state.st_mode) and (pending or follow):
                links += 1
                _require_trusted_link(path, links, state, os.fstat(at))
                pending.extend(reversed(Path(os.readlink(name, dir_fd=at)).parts))
            elif not pending:
                return at, name
            else:
                entered = _traverse(name, at, path)
                os.close(at)
                at = entered
    except BaseException:
        os.close(at)
        raise


def _state(name: str, at: int, path: Path) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as exc:
        exc.filename = str(path)
        raise


def _traverse(name: str, at: int, path: Path) -> int:
    try:
        return os.open(name, _TRAVERSE, dir_fd=at)
    except OSError as exc:
        exc.filename = str(path)
        raise


def _require_trusted_link(path: Path, links: int, link: os.stat_result, folder: os.stat_result) -> None:
    if links > _MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if link.st_uid not in {0, os.geteuid(), folder.st_uid}:
        raise ConfigurationError(f"a link on the way to {path} belongs to another user: name the real path")
