"""Exim with TLS and a login, which appends each message that it takes to a file of its recipient."""

from __future__ import annotations

import email
import email.policy
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from socket import create_connection

from audit_trail.embedded.broker import LOOPBACK, free_ports
from tests.forwarding.certificates import Authority
from tests.installed import installed
from tests.waiting import eventually

USER, PASSWORD = "trail", "correct horse"
_CONFIG = """
primary_hostname = mail.example
daemon_smtp_ports = {port} : {tls_port}
tls_on_connect_ports = {tls_port}
local_interfaces = 127.0.0.1
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/exim.pid
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
exim_user = {user}
exim_group = {group}
never_users =
deliver_drop_privilege = true
queue_only = true
message_size_limit = 100K
acl_smtp_mail = acl_mail
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
begin acl
acl_mail:
  deny !authenticated = *
       message = authentication required
  accept
acl_rcpt:
  deny local_parts = gone
       message = no such mailbox of P-Example
  defer condition = ${{if and{{{{eq{{$local_part}}{{full}}}}{{!exists{{{folder}/room}}}}}}}}
        message = mailbox full
  accept
acl_data:
  deny condition = ${{if match{{$h_subject:}}{{forbidden}}}}
       message = content refused
  accept
begin routers
everybody:
  driver = accept
  transport = to_file
begin transports
to_file:
  driver = appendfile
  file = {folder}/mail
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
  server_advertise_condition = ${{if def:tls_in_cipher}}
"""


class Exim:
    """A server that keeps what it takes in its queue; `messages` are those, in the order of arrival."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.port, self.tls_port = free_ports(2)
        self._folder = folder
        certificate = authority.certificate("mail.server.example", LOOPBACK)
        self._config = folder / "exim.conf"
        self._config.write_text(
            _CONFIG.format(
                folder=folder,
                port=self.port,
                tls_port=self.tls_port,
                certificate=certificate.file,
                key=certificate.key,
                user=folder.owner(),
                group=folder.group(),
                login=USER,
                password=PASSWORD,
            ),
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "exim.out").open("ab") as log:
            self._process = subprocess.Popen(
                [installed("exim4") or "", "-bdf", "-C", str(self._config)], stdout=log, stderr=log
            )
        eventually(self._listens)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def make_room(self, *, room: bool = True) -> None:
        """The mailbox `full` takes messages from now on, or no more."""
        file = self._folder / "room"
        file.touch() if room else file.unlink(missing_ok=True)

    @property
    def messages(self) -> list[tuple[list[str], EmailMessage]]:
        """The recipients of the envelope, and the message."""
        heads = sorted(
            (self._folder / "spool" / "input").glob("*-H"), key=lambda file: file.stat().st_mtime_ns
        )
        return [self._message(head) for head in heads]

    def forget(self) -> None:
        for file in (self._folder / "spool" / "input").glob("*"):
            file.unlink()

    def _message(self, head: Path) -> tuple[list[str], EmailMessage]:
        lines = head.read_text("utf-8").splitlines()
        blank = lines.index("")
        envelope = [each for each in lines[:blank] if "@" in each and not each.startswith(("<", "-"))]
        headers = "\n".join(_unmarked(each) for each in lines[blank + 1 :])
        body = head.with_name(head.name[:-1] + "D").read_text("utf-8").partition("\n")[2]
        message = email.message_from_string(f"{headers}\n\n{body}", policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return envelope, message

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "exim.out").read_text()
        try:
            create_connection((LOOPBACK, self.port), timeout=5).close()
        except OSError:
            return False
        return True


def _unmarked(line: str) -> str:
    """A header's line without the length and the flag that Exim writes before the first one."""
    return line[5:] if line[:3].isdigit() else line


@contextmanager
def exim(folder: Path, authority: Authority) -> Iterator[Exim]:
    server = Exim(folder, authority)
    try:
        server.start()
        yield server
    finally:
        server.stop()
