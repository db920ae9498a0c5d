"""What every command that runs until SIGTERM does first."""

from __future__ import annotations

import signal
from collections.abc import Callable

from audit_trail import components, last_resort, logs
from audit_trail.last_resort import STOP_SECONDS
from audit_trail.metrics_server import Monitor
from audit_trail.settings import PREFIX, Settings, load

BATCH_SECONDS = 20.0
"""How long a program that applies batches may take to end. A file's own code has a parent that kills it after 25."""
GUARD_STOP_SECONDS = 28.0
"""How long the guard may take to end: it gives places 18 s and the last findings 5 s, and then closes its clients."""
METRICS_SECONDS = 60.0
"""How long `ingest` stays up after it has stopped for lost records: a scrape of its metrics every minute sees them."""


def long_running() -> tuple[Settings, Monitor]:
    """The settings and the monitor, which answers readiness. Sets up logging, the collector and the metrics port.

    Raises `ConfigurationError` when nothing can listen on the metrics port.
    """
    from prometheus_client import REGISTRY

    from audit_trail.metrics_server import MonitoringServer
    from event_store.silence.metrics import SilenceCollector
    from web.http.listening_socket import listen

    settings = load()
    logs.configure(settings)
    components.spare_the_collector()
    monitor = Monitor()
    REGISTRY.register(SilenceCollector())
    if settings.metrics_port:
        listener = listen(settings.metrics_host, settings.metrics_port, f"{PREFIX}METRICS_PORT")
        MonitoringServer(listener, monitor)
    return settings, monitor


def on_stop(stop: Callable[[], None]) -> None:
    """Have SIGTERM and Ctrl-C call `stop`, and end the process when that takes too long."""
    _handle(stop)
    last_resort.install(STOP_SECONDS)


def on_stop_within(seconds: float, stop: Callable[[], None]) -> None:
    """Like `on_stop`, for a program that runs other people's code or waits for other people's servers.

    A second signal ends it at once.
    """
    _handle(stop)
    last_resort.install(seconds, twice=True)


def interrupted_by_signals() -> None:
    """Have SIGTERM interrupt a command as Ctrl-C does, and end it when that takes too long.

    SIGINT is set too: a shell hands a background job an ignored one. Only the first signal interrupts, since a second
    one would interrupt what the first one has begun to close.
    """

    def interrupt() -> None:
        _handle(lambda: None)
        raise KeyboardInterrupt

    on_stop(interrupt)


def _handle(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
