"""The demonstration: start everything, send events through it, and print answers."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from audit_trail.databases import Pool, open_database
from audit_trail.demo import clinic
from audit_trail.embedded.sockets import remove_left_behind
from audit_trail.environment import FILE_VARIABLE
from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import Settings
from audit_trail.stack import SETTINGS_FILE, BrokerKind, Stack, stay_up
from audit_trail.trust.keys import trusted_keys
from domain.errors import ConfigurationError, LogInconsistentError, UnavailableError
from domain.validation import encode_event
from event_store.database import READER, Connection, only
from event_store.dead_letters import count_by_reason
from event_store.event_reader import log_size
from event_store.files.folders import Folder
from event_store.verify.run import verify
from ingest.publisher import Message, Publisher
from queries.read_models import ReadModels

_SEED = 1
_ROLE = "auditor"
_CHUNK = 500
_PATIENCE = 120.0
_PREFIX = "audit-trail-demo-"


class Numbers(NamedTuple):
    """The event store's counts of received messages."""

    received: int
    accepted: int
    rejected: dict[str, int]

    @property
    def duplicates(self) -> int:
        """Messages that were received again and dropped."""
        return self.received - self.accepted - sum(self.rejected.values())


def run(settings: Settings, *, once: bool, broker: BrokerKind, events: int, out: Console) -> None:
    """Run the demonstration; returns after Ctrl-C, or after printing with `once`."""
    with _folder() as folder:
        out.print("[bold]Audit Trail[/]: starting database, broker, ingest, projectors and API ...")
        # The demonstration queries as an auditor of its own issuer, whatever issuer the settings name. On a broker of
        # the settings, it creates their topics.
        own = settings.model_copy(
            update={"auth_issuers": (), "api_tokens_file": None, "kafka_create_topics": True}
        )
        with Stack(own, folder, broker) as stack:
            messages = list(_input(stack.settings, events))
            _send(stack, messages, out)
            numbers, lags = _await_all(stack, len(messages), out)
            _print_numbers(numbers, lags, out)
            for query in QUERIES:
                _query(stack, query, out)
            _verify(stack, out)
            if once:
                out.print(
                    f"\nWithout --once it stays up, with the dashboard at {stack.url}/, GraphiQL at {stack.url}/graphql"
                    f" and the REST documentation at {stack.url}/docs.",
                    soft_wrap=True,
                )
            else:
                _invite(stack, out)
                stay_up(stack)


def _invite(stack: Stack, out: Console) -> None:
    """Print what a person can do while the stack is up."""
    token = stack.token(_ROLE)
    out.print(f"\n[bold]Open {stack.url}/ in a browser[/], and choose who you want to be.", soft_wrap=True)
    out.print(f"\nGraphiQL   {stack.url}/graphql#token={token}", soft_wrap=True)
    out.print(f"REST docs  {stack.url}/docs#token={token}", soft_wrap=True)
    out.print("\nYou are its auditor, for an hour. For other commands, and tokens of other roles:")
    programs = Path(sys.executable).parent
    if shutil.which("audit-trail") is None and (programs / "activate").exists():
        out.print(f"source {programs / 'activate'}", soft_wrap=True)
    out.print(f"export {FILE_VARIABLE}={stack.folder / SETTINGS_FILE}", soft_wrap=True)
    out.print("audit-trail token --role patient --patient 1007")
    out.print("\nCtrl-C stops everything that was started here.")


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder, removed at the end. Folders of killed demonstrations are removed first."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_left_behind(path)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o711)  # the database's account, when that is another, has to pass through
    with Folder.open(folder) as opened, opened.locked("lock", wait=False):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind(path: Path) -> None:
    """Remove a folder that is ours and not in use. Anyone can create a folder with such a name."""
    with suppress(OSError, ConfigurationError), Folder.open(path, follow=False) as folder:
        folder.require_own()
        if not folder.has_file("lock"):
            return
        with folder.locked("lock", wait=False):
            remove_left_behind(path / "postgres" / "socket-folder")
            shutil.rmtree(path, ignore_errors=True)


def _input(settings: Settings, events: int) -> Iterator[Message]:
    """The examples of HL7 and IHE, an hour of a clinic that ends now, and broken messages."""
    topic = settings.kafka_topics[0]
    samples = resources.files("audit_trail") / "samples"
    for folder in sorted(samples.iterdir(), key=lambda each: each.name):
        if folder.is_dir():
            for file in sorted(folder.iterdir(), key=lambda each: each.name):
                if file.name.endswith(".json"):
                    yield Message(topic, None, file.read_bytes())
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    for event in clinic.simulate(_SEED, start, events):
        yield Message(topic, event.source.service.encode(), encode_event(event))
    for broken in clinic.broken_messages(settings.max_message_bytes + 1):
        yield Message(topic, broken.key, broken.value, broken.headers)


def _send(stack: Stack, messages: list[Message], out: Console) -> None:
    publisher = Publisher(ingest_settings(stack.settings))
    with closing(publisher), Progress(console=out, transient=True) as progress:
        for at in progress.track(range(0, len(messages), _CHUNK), description="publishing to Kafka"):
            publisher.publish(messages[at : at + _CHUNK])


def _await_all(stack: Stack, sent: int, out: Console) -> tuple[Numbers, dict[str, int]]:
    database = open_database(stack.settings, Pool.READER)
    models = ReadModels(database)
    deadline = time.monotonic() + _PATIENCE
    with closing(database), Progress(console=out, transient=True) as progress:
        task = progress.add_task("ingest and projections", total=sent)
        while True:
            stack.check()
            with database.transaction(read_only=True) as connection:
                numbers = _numbers(connection)
            lags = {row.name: row.lag for row in models.projections()}
            progress.update(task, completed=numbers.received - max(lags.values(), default=0))
            if numbers.received >= sent and lags and not any(lags.values()):
                return numbers, lags
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"only {numbers.received} of {sent} messages arrived; see {stack.folder}"
                )
            time.sleep(0.1)


def _numbers(connection: Connection) -> Numbers:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM audit_trail.kafka_stream")
        received = only(cursor)
    return Numbers(received, log_size(connection), count_by_reason(connection))


def _print_numbers(numbers: Numbers, lags: dict[str, int], out: Console) -> None:
    table = Table(title="What became of the messages", title_justify="left", box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("received", f"{numbers.received:,}")
    table.add_row("accepted", f"{numbers.accepted:,}")
    table.add_row("duplicate, dropped", f"{numbers.duplicates:,}")
    table.add_row("rejected, kept as dead letters", f"{sum(numbers.rejected.values()):,}")
    for reason, count in numbers.rejected.items():
        table.add_row(f"  {reason.replace('_', ' ')}", f"{count:,}", style="dim")
    table.add_row("position reached", f"{numbers.accepted - 1:,}")
    for name, lag in lags.items():
        table.add_row(f"lag of {name}", f"{lag:,}")
    out.print()
    out.print(table)


def _verify(stack: Stack, out: Console) -> None:
    """Verify the log, and say where others can do the same."""
    keys, _ = trusted_keys(stack.settings)
    report = verify(stack.settings.require_database_url(), READER, keys)
    out.print("\n[bold]Is the log what was recorded and signed?[/]")
    if report.findings:
        raise LogInconsistentError(f"the log is not intact: {report.findings[0]}")
    out.print(
        f"Yes: {report.hashed:,} events and {report.heads:,} signed heads agree; root hash {report.root.hex()}",
        highlight=False,
    )
    out.print(
        "A stranger checks it with this public key, and with "
        f"{stack.url}/log/checkpoint, which AUDIT_TRAIL_PUBLIC_LOG opens to who has no token:\n{keys[0].encode()}",
        highlight=False,
        soft_wrap=True,
    )


class DemoQuery(NamedTuple):
    """A GraphQL query, its variables, and the field of the answer to show."""

    title: str
    text: str
    variables: dict[str, Any]
    subject: str


QUERIES = (
    DemoQuery(
        f"Who accessed patient {clinic.PATIENT}?",
        "query ($id: ID!) { patient(id: $id) { events"
        " accesses { actorId actorName accesses lastAt purposes } } }",
        {"id": clinic.PATIENT},
        "patient",
    ),
    DemoQuery(
        f"What did user {clinic.USER} do, failed logins included?",
        "query ($id: ID!) { user(id: $id) { name events logins failedLogins actions { type events }"
        " timeline(first: 15, filter: {categories: [USER]}) {"
        " nodes { occurredAt type outcome outcomeReason reason client { address } } } } }",
        {"id": clinic.USER},
        "user",
    ),
    DemoQuery(
        f"What changed on device {clinic.DEVICE}?",
        "query ($id: ID!) { device(id: $id) { softwareVersions { version firstAt }"
        " configuration { occurredAt actorId path before after } } }",
        {"id": clinic.DEVICE},
        "device",
    ),
)


def _query(stack: Stack, query: DemoQuery, out: Console) -> None:
    body = json.dumps({"query": query.text, "variables": query.variables}).encode()
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{stack.url}/graphql",
        body,
        {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Authorization": f"Bearer {stack.token(_ROLE)}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own address  # nosec B310
        answer = json.load(response)
    out.print(f"\n[bold]{escape(query.title)}[/]")
    out.print(escape(query.text), style="dim", soft_wrap=True)
    if answer.get("errors"):
        raise UnavailableError(f"the API answered: {answer['errors'][0]['message']}")
    _SHOW[query.subject](answer["data"][query.subject], out)


def _show_patient(patient: dict[str, Any], out: Console) -> None:
    table = Table("who", "name", "accesses", "last", "purposes", box=None)
    for row in patient["accesses"]:
        table.add_row(
            row["actorId"] or "unattributed", row["actorName"] or "", str(row["accesses"]), _time(row["lastAt"]),
            ", ".join(row["purposes"]),
        )  # fmt: skip
    out.print(table)


def _show_user(user: dict[str, Any], out: Console) -> None:
    out.print(
        f"{escape(user['name'] or '')}: {user['events']} events, {user['logins']} logins,"
        f" {user['failedLogins']} failed logins"
    )
    out.print(", ".join(f"{row['events']} x {row['type']}" for row in user["actions"]), style="dim")
    table = Table("when", "what", "outcome", "from", "why", box=None)
    # The trail is in the order of recording, and a person reads events in the order of occurrence.
    for row in sorted(user["timeline"]["nodes"], key=lambda row: row["occurredAt"]):
        table.add_row(
            _time(row["occurredAt"]),
            row["type"],
            row["outcome"].lower().replace("_", " "),
            (row["client"] or {}).get("address") or "",
            escape(row["reason"] or row["outcomeReason"] or ""),
        )
    out.print(table)


def _show_device(device: dict[str, Any], out: Console) -> None:
    table = Table("when", "who", "setting", "before", "after", box=None)
    for row in device["configuration"]:
        table.add_row(
            _time(row["occurredAt"]),
            row["actorId"] or "",
            row["path"],
            json.dumps(row["before"]),
            json.dumps(row["after"]),
        )
    out.print(table)
    versions = ", ".join(
        f"{row['version']} since {_time(row['firstAt'])}" for row in device["softwareVersions"]
    )
    out.print(f"software: {versions}")


_SHOW = {"patient": _show_patient, "user": _show_user, "device": _show_device}


def _time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%H:%M:%S")
