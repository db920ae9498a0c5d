"""Traces of one process: off, unless a setting names a collector. Only then is the library for it loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from audit_trail.environment import PREFIX
from audit_trail.settings import Settings
from domain.errors import ConfigurationError
from event_store.tracing import OFF, Tracer


@contextmanager
def tracing(settings: Settings, part: str) -> Iterator[Tracer]:
    """The tracer of this process, which is `part` of the program. The last spans are sent at the end of the block.

    Raises `ConfigurationError` when the library is not installed: the extra `tracing` has it.
    """
    if settings.tracing_endpoint is None:
        yield OFF
        return
    try:
        from audit_trail.runtime.open_telemetry import OpenTelemetry  # noqa: PLC0415 - only when it is on
    except ImportError as exc:
        raise ConfigurationError(
            f"{PREFIX}TRACING_ENDPOINT is set, and OpenTelemetry is not installed: install audit-trail[tracing]"
        ) from exc
    tracer = OpenTelemetry(
        settings.tracing_endpoint.get_secret_value(), f"audit-trail-{part}", settings.tracing_sample_ratio
    )
    try:
        yield tracer
    finally:
        tracer.close()
