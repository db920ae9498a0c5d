"""Finding and opening files without following links that a stranger may have planted."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any

from domain.errors import ConfigurationError

_MOST_LINKS = 40
"""On the way to one file; Linux has the same limit."""
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
"""To go through a folder. With O_PATH, the right to enter it is enough."""
_PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""Without O_NONBLOCK, opening a pipe would wait for its other end."""
_INPUTS = frozenset({stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR})
_INHERITED = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/([0-9]{1,9})")
"""Names of what the caller has opened: `< file`, a shell's pipe, or its `<(command)`."""
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


def opened(path: Path, name: str, flags: int, permissions: int, parent: int) -> int:
    """A descriptor of an ordinary file."""
    try:
        descriptor = os.open(name, flags | _PLAIN, permissions, dir_fd=parent)
    except OSError as exc:
        if exc.errno in {errno.ELOOP, errno.EMLINK}:  # Linux, and BSD, for a link
            raise ConfigurationError(
                f"{path} is no file: it is a link. Remove it, or name another path"
            ) from exc
        if exc.errno == errno.ENXIO:
            raise ConfigurationError(
                f"{path} is no file: it is a pipe or a socket. Remove it, or name another path"
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
    """A descriptor of an ordinary file, a pipe or a character device, for a command that reads it once.

    A named pipe is waited for until somebody writes to it. Links are followed as in `locate`.
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
    """Raise `ConfigurationError` unless `path` is of the kind: `stat.S_IFREG` or `stat.S_IFDIR`."""
    found = stat.S_IFMT(state.st_mode)
    if found != kind:
        wanted = "folder" if kind == stat.S_IFDIR else "file"
        is_a = _KINDS.get(found, "an ordinary file")
        raise ConfigurationError(f"{path} is no {wanted}: it is {is_a}. Remove it, or name another path")


def require_own(path: Path, state: os.stat_result) -> None:
    """Raise `ConfigurationError` unless the file is this user's, and has no other name."""
    if state.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to somebody else: remove it")
    if state.st_nlink != 1:
        raise ConfigurationError(f"{path} is a hard link to another file: remove it")


def limited(path: Path, file: Any, limit: int) -> bytes:
    """All of a file. Raises `ConfigurationError` when it has more than `limit` bytes."""
    data: bytes = file.read(limit + 1)
    if len(data) > limit:
        raise ConfigurationError(f"{path} is larger than {limit} bytes")
    return data


def locate(path: Path, *, follow: bool) -> tuple[int, str]:
    """A descriptor of the folder that holds `path`, and the name in it. The name is a link only unless `follow`.

    Links are followed one by one, so that each can be checked: in a folder that many may write to, a link that somebody
    else made could lead anywhere.
    """
    pending = list(reversed(path.parts)) or ["."]
    at = os.open(".", _PASS)
    links = 0
    try:
        while True:
            name = pending.pop()
            if name == "/":
                os.close(at)
                at = os.open("/", _PASS)
                name = pending.pop() if pending else "."
            state = _state(name, at, path)
            if state is not None and stat.S_ISLNK(state.st_mode) and (pending or follow):
                links += 1
                _require_trusted_link(path, links, state, os.fstat(at))
                pending.extend(reversed(Path(os.readlink(name, dir_fd=at)).parts))
            elif not pending:
                return at, name
            else:
                entered = _pass(name, at, path)
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


def _pass(name: str, at: int, path: Path) -> int:
    try:
        return os.open(name, _PASS, dir_fd=at)
    except OSError as exc:
        exc.filename = str(path)
        raise


def _require_trusted_link(path: Path, links: int, link: os.stat_result, folder: os.stat_result) -> None:
    if links > _MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if link.st_uid not in {0, os.geteuid(), folder.st_uid}:
        raise ConfigurationError(f"a link on the way to {path} was made by another user: name the real path")
