"""The whole stack on one machine: database, broker, ingest, projectors and API, each a process of its own.

It starts every service that the settings do not name. Every process ends with this one, even when this one is killed.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from audit_trail.development_issuer import AUDIENCE, ISSUER, create_issuer, issue
from audit_trail.embedded.broker import Broker, free_ports
from audit_trail.embedded.folder import PASSABLE, write_file
from audit_trail.embedded.kafka import ApacheKafka
from audit_trail.embedded.postgres import EmbeddedPostgres
from audit_trail.embedded.process import WatchedProcess
from audit_trail.embedded.tansu import TansuBroker
from audit_trail.environment import FILE_VARIABLE, PREFIX
from audit_trail.ingest_settings import ingest_settings
from audit_trail.runtime.metrics_server import STARTING
from audit_trail.settings import Settings, load
from audit_trail.watching.own_targets import WATCH_FILE, own_targets
from domain.errors import ConfigurationError, UnavailableError
from event_store.files.folders import PRIVATE_FILE, Folder
from event_store.migrations import migrate
from event_store.signing import create_key_file, new_key
from ingest.partitions.topics import Topics

BrokerKind = Literal["embedded", "kafka"]
PARTS = ("guard", "ingest", "project", "serve")
"""The guard is the first to start and the last to stop: it publishes the head that ingest leaves."""
WATCHER = "watch"
"""It starts when the others are ready: it would report them as failing."""
FORWARD = "forward run"
"""Runs only with a file of followers."""
LOG_KEY = "log-key"
API_TOKENS = "api-tokens.toml"
SETTINGS_FILE = "settings.toml"
_READY_SECONDS = 60.0
_FORGETFUL = {
    "kafka_on_offset_loss": "continue",
    "kafka_offset_loss_accepted_by": "audit-trail up",
    "kafka_offset_loss_reason": (
        "the embedded broker keeps messages in memory alone: what ingest had not read when it stopped is gone"
    ),
}
"""The embedded broker loses its topics at each stop. The log records that; use Apache Kafka to keep them."""


class Stack:
    """Start it with `with`. The `settings` are then complete: they name database, broker and API."""

    def __init__(self, settings: Settings, folder: Path, broker: BrokerKind) -> None:
        self.settings = settings
        self.folder = folder
        self._broker = broker
        self._running = ExitStack()
        self._parts: list[WatchedProcess] = []
        self._services: dict[str, EmbeddedPostgres | Broker] = {}
        self.standing_still = ""
        """The projections that stand still, with the commands that help; empty when none does."""

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://{self.settings.http_host}:{self.settings.http_port}"

    @property
    def issues_tokens(self) -> bool:
        """Whether the API accepts tokens of the development issuer in the folder."""
        return any(entry.startswith(f"{ISSUER} ") for entry in self.settings.auth_issuers)

    def token(self, role: str) -> str:
        """A token of the development issuer, for an hour. Raises `ConfigurationError` when it is not in use."""
        if not self.issues_tokens:
            raise ConfigurationError(
                "tokens come from the issuer of the settings: leave it out to try Audit Trail"
            )
        return issue(self.folder, 60, sub=f"development-{role}", roles=[role])

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in self._parts[1:]:
            part.request_stop()
        self._running.close()
        killed = [f"{part.name} (exit code {part.poll()})" for part in self._parts if part.poll()]
        if killed and kind is None:
            raise UnavailableError(
                f"{', '.join(killed)} did not stop in time and was ended by force; nothing is lost. See {self.folder}"
            )

    def check(self) -> None:
        """Raise `UnavailableError` when a part, the database or the broker has ended by itself."""
        for part in self._parts:
            if not part.running:
                raise UnavailableError(
                    f"{part.name} ended with exit code {part.poll()}; everything is stopped, and can be started again."
                    f" Its last words:\n{part.log_tail(3)}"
                )
        for name, service in self._services.items():
            if not service.running:
                raise UnavailableError(f"{name} has ended; everything is stopped, and can be started again")

    def _start(self) -> None:
        self._make_folder()
        found: dict[str, object] = {"http_port": _port(self.settings)}
        for name in ("pages", "introspection"):
            if name not in self.settings.model_fields_set:
                found[name] = True
        if not self.settings.auth_issuers and self.settings.api_tokens_file is None:
            found |= self._own_issuer()
        if self.settings.api_tokens_file is None:
            found["api_tokens_file"] = self._own_tokens()
        if self.settings.database_url is None:
            postgres = self._running.enter_context(EmbeddedPostgres(self.folder / "postgres"))
            self._services["PostgreSQL"] = postgres
            found["database_url"] = postgres.url
        if not self.settings.kafka_bootstrap_servers:
            found |= self._start_broker()
        elif self.settings.kafka_create_topics:
            found["kafka_create_topics"] = True
        if self.settings.log_key is None and self.settings.log_key_file is None:
            found["log_key_file"] = self._own_key()
        found |= self._own_places()
        self.settings = load(**found)
        self._keep_settings()
        migrate(self.settings.require_database_url())
        if self.settings.kafka_create_topics:
            self._make_topics()
        self._start_parts()

    def _start_parts(self) -> None:
        names = [*PARTS, *([FORWARD] if self.settings.forwarding_file else [])]
        free = [port for port in free_ports(len(names) + 2) if port != self.settings.http_port]
        ports = dict(zip((*(name for name in names if name != "serve"), WATCHER), free, strict=False))
        for name in names:
            self._parts.append(self._running.enter_context(self._part(name, ports.get(name))))
        self._wait_until_ready()
        own = self.folder / WATCH_FILE
        if self.settings.watch_file == own:
            write_file(own, own_targets(self.url, ports, self.settings), PRIVATE_FILE)
        self._parts.append(self._running.enter_context(self._part(WATCHER, ports[WATCHER])))
        deadline = time.monotonic() + _READY_SECONDS
        while _is_starting(f"http://127.0.0.1:{ports[WATCHER]}/readyz") and time.monotonic() < deadline:
            self.check()
            time.sleep(0.1)

    def _own_places(self) -> dict[str, Path]:
        """Files and folders in the data folder that the settings do not name. The user's rules are none at first."""
        own = {
            "heads_folder": self.folder / "tree-heads",
            "watch_file": self.folder / WATCH_FILE,
            "detection_rules": self.folder / "rules",
        }
        found = {name: place for name, place in own.items() if getattr(self.settings, name) is None}
        if "detection_rules" in found:
            try:
                Folder.make(found["detection_rules"]).close()
            except OSError as exc:
                raise ConfigurationError(f"{found['detection_rules']} can't be made: {exc.strerror}") from exc
        return found

    def _make_folder(self) -> None:
        """Programs run from this folder and keys are kept here: nobody else may write to it, and it must be no link."""
        try:
            with Folder.make(self.folder, PASSABLE) as folder:
                folder.require_own()
        except OSError as exc:
            raise ConfigurationError(f"the data folder {self.folder} can't be made: {exc.strerror}") from exc

    def _start_broker(self) -> dict[str, object]:
        broker: Broker
        if self._broker == "kafka":
            broker = ApacheKafka(self.folder / "kafka")
        else:
            broker = TansuBroker(log=self.folder / "broker.log")
        self._running.callback(broker.stop)
        broker.start()
        self._services["the broker"] = broker
        found: dict[str, object] = {
            "kafka_bootstrap_servers": (broker.bootstrap_servers,),
            "kafka_create_topics": True,
        }
        if broker.kind == "embedded":
            found["kafka_assignment"] = "static"  # joining a group takes it over 20 seconds
            if "kafka_partitions" not in self.settings.model_fields_set:
                found["kafka_partitions"] = (
                    1  # so that a restart, which loses each partition, records one gap
                )
            if "kafka_on_offset_loss" not in self.settings.model_fields_set:
                found |= _FORGETFUL
        return found

    def _make_topics(self) -> None:
        """Before any part asks for them: the embedded broker makes a topic with 4 partitions for who does."""
        with closing(Topics(ingest_settings(self.settings))) as topics:
            topics.create(self.settings.kafka_topics)

    def _own_key(self) -> Path:
        """The signing key of this folder's log, created at the first start with a unique log name."""
        file = self.folder / LOG_KEY
        if not file.exists():
            create_key_file(file, new_key(f"audit-trail.example/{secrets.token_hex(8)}"))
        return file

    def _own_issuer(self) -> dict[str, object]:
        """The settings of the development issuer. The claim settings of another issuer do not apply to it."""
        audiences = self.settings.auth_audiences
        claims = {
            name: field.default
            for name, field in Settings.model_fields.items()
            if name.startswith("auth_") and name in self.settings.model_fields_set
        }
        return claims | {
            "auth_issuers": (create_issuer(self.folder),),
            "dashboard_issuer": ISSUER,
            "development_issuer": self.folder,
            "auth_audiences": audiences if AUDIENCE in audiences else (*audiences, AUDIENCE),
        }

    def _own_tokens(self) -> Path:
        """The file of API tokens of this folder, for `audit-trail tokens`."""
        file = self.folder / API_TOKENS
        with Folder.open(self.folder) as folder:
            folder.open_file(API_TOKENS, "ab").close()
        return file

    def _part(self, name: str, metrics_port: int | None) -> WatchedProcess:
        return WatchedProcess(
            [sys.executable, "-m", "audit_trail", *name.split(" ")],
            name=name,
            log=self.folder / f"{name.partition(' ')[0]}.log",
            environment=self._environment()
            | ({f"{PREFIX}METRICS_PORT": str(metrics_port)} if metrics_port else {}),
            grace=15.0,
        )

    def _environment(self) -> dict[str, str]:
        """The settings of this process as variables. A command line would show the database's URL to other users."""
        ours = {
            name: value
            for name, value in os.environ.items()
            if name == FILE_VARIABLE or not name.startswith(PREFIX)
        }
        for name in self.settings.model_fields_set:
            value = getattr(self.settings, name)
            if value is not None:
                ours[PREFIX + name.upper()] = _text(value)
        return ours

    def _keep_settings(self) -> None:
        """Write `settings.toml`, by which other commands find this stack. Only its owner can read it."""
        lines = (
            f"{name} = {_toml(getattr(self.settings, name))}\n"
            for name in sorted(self.settings.model_fields_set)
            if getattr(self.settings, name) is not None
        )
        write_file(self.folder / SETTINGS_FILE, "".join(lines), PRIVATE_FILE)

    def _wait_until_ready(self) -> None:
        """Wait for the API. Projections that stand still do not count: their commands need the running database."""
        deadline = time.monotonic() + _READY_SECONDS
        while (problems := _problems(f"{self.url}/readyz")).keys() - {"projections"}:
            self.check()
            if time.monotonic() > deadline:
                found = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
                raise UnavailableError(
                    f"the API is not ready after {_READY_SECONDS:.0f} s: {found}; see {self.folder}"
                )
            time.sleep(0.1)
        self.standing_still = problems.get("projections", "")


def _toml(value: object) -> str:
    """A JSON string, number, boolean or list of strings is valid TOML too, except for surrogates and DEL."""
    text = json.dumps(value if isinstance(value, bool | int | tuple) else _text(value), ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    reveal = getattr(value, "get_secret_value", None)
    return str(reveal() if reveal else value)


def _port(settings: Settings) -> int:
    """The port of the API, chosen before the API starts, and free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.http_host, settings.http_port))
        except OSError as exc:
            raise ConfigurationError(
                f"port {settings.http_port} of {settings.http_host} is taken: stop what listens there,"
                f" or set {PREFIX}HTTP_PORT to another (0 takes a free one)"
            ) from exc
        return int(probe.getsockname()[1])


def _problems(url: str) -> dict[str, str]:
    """The failed checks of the API, by name; empty when it is ready."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address  # nosec B310
            return {}
    except urllib.error.HTTPError as exc:
        with exc:
            checks: dict[str, str] = json.load(exc).get("checks", {})
        return {name: state for name, state in checks.items() if state != "ok"} or {"API": str(exc)}
    except (OSError, ValueError) as exc:
        return {"API": str(exc)}


def _is_starting(url: str) -> bool:
    """Whether a part does not answer yet, or answers that it is starting: then a signal would end it at once."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address  # nosec B310
            return False
    except urllib.error.HTTPError as exc:
        with exc:
            return bool(json.load(exc).get("problems") == [STARTING])
    except (OSError, ValueError):
        return True


def stay_up(stack: Stack) -> None:
    """Wait until Ctrl-C. Raises `UnavailableError` when something ends by itself."""
    try:
        while True:
            stack.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
