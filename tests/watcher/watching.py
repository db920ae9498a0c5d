"""A watcher that runs in a thread of the tests' process, and a service whose health a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from domain.event import AuditEvent
from domain.validation import decode_event
from event_store.database import WATCHER, Database
from tests.foreign_server import ForeignServer, Said, answer, for_ever
from tests.waiting import eventually
from watcher.blindness import Clocks
from watcher.examination import Examiner
from watcher.metrics import WatchMetrics
from watcher.store import Undelivered
from watcher.target_file import parse_targets
from watcher.targets import TargetFile
from watcher.watch import Watcher

QUICK = "defaults: {interval: 500ms, timeout: 400ms, down_after: 2, up_after: 1}\n"


class Service:
    """A service with a health page. It is well until a test says otherwise."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"status": "up"}'
        self.headers: tuple[str, ...] = ()
        self.hangs = False
        self._server = ForeignServer(self._script, 0.0, None)
        self.url = f"http://127.0.0.1:{self._server.port}/health"

    @property
    def requests(self) -> list[bytes]:
        return self._server.requests

    def _script(self, _: bytes) -> Said:
        if self.hangs:
            threading.Event().wait(0.6)
            return for_ever(b"")
        return iter([answer(self.status, self.body, *self.headers)])

    def end(self) -> None:
        self._server.end()


@contextmanager
def service() -> Iterator[Service]:
    found = Service()
    try:
        yield found
    finally:
        found.hangs = False
        found.end()


def file_of(**urls: str) -> TargetFile:
    """Quick checks of these addresses."""
    lines = "".join(f"  - {{name: {name}, http: {{url: '{url}'}}}}\n" for name, url in urls.items())
    return parse_targets(f"{QUICK}targets:\n{lines}", "watch.yaml")


def no_kafka(*_: object) -> dict[str, str]:
    raise AssertionError("no target of this test is a broker")


class Running:
    """A watcher in a thread. `events` is what it has published, in order."""

    def __init__(
        self,
        url: str,
        file: TargetFile,
        *,
        publish: Callable[[Sequence[Undelivered]], None] | None = None,
        read_clocks: Callable[[], Clocks] = Clocks.read,
        threads: int = 4,
    ) -> None:
        self.messages: list[bytes] = []
        self.registry = CollectorRegistry()
        self.error: BaseException | None = None
        self._database = Database(url, WATCHER, size=3)
        self.watcher = Watcher(
            file,
            self._database,
            Examiner(url, no_kafka),
            publish or self._keep,
            threads=threads,
            metrics=WatchMetrics(self.registry),
            read_clocks=read_clocks,
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def events(self) -> list[AuditEvent]:
        return [decode_event(each) for each in self.messages]

    @property
    def types(self) -> list[str]:
        return [each.type for each in self.events]

    def _keep(self, events: Sequence[Undelivered]) -> None:
        self.messages += [each.body for each in events]

    def _run(self) -> None:
        try:
            self.watcher.run()
        except BaseException as exc:  # noqa: BLE001 - the test looks at it
            self.error = exc

    def number(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"audit_trail_watch_{name}", labels)

    def looks(self) -> None:
        """Wait until it checks."""
        eventually(lambda: self.number("active") == 1)

    def stop(self) -> None:
        """As SIGTERM does."""
        self.watcher.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._database.close()


@contextmanager
def watching(url: str, file: TargetFile, **options: object) -> Iterator[Running]:
    running = Running(url, file, **options)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        running.stop()
