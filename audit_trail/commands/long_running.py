"""What every command that runs until SIGTERM does first."""

from __future__ import annotations

import signal
from collections.abc import Callable

from audit_trail import components, logs
from audit_trail.settings import Settings, load


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
