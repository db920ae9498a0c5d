"""What every command that runs until SIGTERM does first."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from threading import Timer

from audit_trail import components, logs
from audit_trail.settings import Settings, load

_log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
"""How long a program that applies batches may take to end; a supervisor's SIGKILL commonly comes after 30."""
GUARD_STOP_SECONDS = 28.0
"""How long the guard may take to end: it gives places 18 s and the last findings 5 s, and then closes its clients."""

METRICS_SECONDS = 60.0
"""How long `ingest` stays up after it has stopped for lost records: a scrape of its metrics every minute sees them."""


def long_running() -> Settings:
    """The settings, with logging, the collector and the metrics port set up."""
    from prometheus_client import start_http_server

    settings = load()
    logs.configure(settings)
    components.spare_the_collector()
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)
    return settings


def on_stop(stop: Callable[[], None]) -> None:
    """Have SIGTERM and Ctrl-C call `stop`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def on_stop_within(seconds: float, stop: Callable[[], None]) -> None:
    """As `on_stop`, for a program that runs anyone's code or waits for anyone's server, which may never return.

    A second signal, or `seconds` after the first, ends the process as it stands, with exit code 128 + the signal's
    number. Only for programs that lose nothing by that: their work is one transaction, or safe to repeat.
    """
    signals: list[int] = []

    def end(number: int, why: str) -> None:
        _log.error("%s: ending without waiting for the work in hand, of which nothing is kept", why)
        os._exit(128 + number)

    def told(number: int, _: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            end(number, "told twice")
        late = Timer(seconds, end, (number, f"not stopped {seconds:.0f} s after the signal"))
        late.daemon = True
        late.start()
        stop()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, told)
