"""The start of a process that runs until SIGTERM."""

from __future__ import annotations

from prometheus_client import REGISTRY

from audit_trail.environment import PREFIX
from audit_trail.runtime import logs
from audit_trail.runtime.garbage_collection import spare_the_collector
from audit_trail.runtime.metrics_server import Monitor, MonitoringServer
from audit_trail.settings import Settings, load
from event_store.silence.metrics import SilenceCollector
from web.http.listening_socket import listen


def long_running(part: str) -> tuple[Settings, Monitor]:
    """The settings and the monitor, which answers readiness of `part`. Sets up logging, collector and metrics port.

    Raises `ConfigurationError` when nothing can listen on the metrics port.
    """
    settings = load()
    logs.configure(settings)
    spare_the_collector()
    monitor = Monitor(part)
    REGISTRY.register(SilenceCollector())
    if settings.metrics_port:
        listener = listen(settings.metrics_host, settings.metrics_port, f"{PREFIX}METRICS_PORT")
        MonitoringServer(listener, monitor)
    return settings, monitor
