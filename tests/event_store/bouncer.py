"""PgBouncer in front of a PostgreSQL that listens on a Unix socket."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from audit_trail.embedded.accounts import unprivileged_account
from audit_trail.embedded.broker import LOOPBACK, free_ports
from tests.installed import installed
from tests.waiting import eventually

_CONFIGURATION = """\
[databases]
* = host={host}
[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
default_pool_size = {size}
query_wait_timeout = 10
"""


@contextmanager
def bouncing(
    folder: Path, url: str, mode: str, *, size: int = 20, logins: tuple[str, ...] = ()
) -> Iterator[str]:
    """The URL of the database of `url` through a PgBouncer in this pool mode, with `size` server connections."""
    target = urlsplit(url)
    (port,) = free_ports(1)
    users, file = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text("".join(f'"{login}" ""\n' for login in ("postgres", *logins)), encoding="utf-8")
    values = {"address": LOOPBACK, "port": port, "users": users, "mode": mode, "size": size}
    host = parse_qs(target.query)["host"][0]
    file.write_text(_CONFIGURATION.format(host=host, **values), encoding="utf-8")
    program = installed("pgbouncer")
    assert program
    account = unprivileged_account()  # it refuses to run as root
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(
            [program, file],
            stdout=log,
            stderr=log,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    pooled = f"postgresql://postgres@{LOOPBACK}:{port}{target.path}"
    try:
        eventually(lambda: _listens(port))
        yield pooled
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False
