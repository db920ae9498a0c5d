"""Log lines: one format for the whole program, on standard error."""

from __future__ import annotations

import logging
import sys

import structlog

from audit_trail.settings import Settings
from event_store import tracing


def configure(settings: Settings) -> None:
    """Send structlog's and the libraries' lines to standard error, as text or JSON."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    renderer = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler()
    foreign = [*shared, _without_traceback]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=foreign))
    # The libraries log much that an operator need not read: the Kafka client logs each broker that it can't reach.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _with_trace(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A line that is written in a span says in which."""
    del logger, name
    context = tracing.current()
    if context is not None:
        event.setdefault("trace_id", context.trace_id)
        event.setdefault("span_id", context.span_id)
    return event


def _without_traceback(
    logger: object, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A library's line with the type of its exception alone: traceback and text can quote patient data and secrets.

    asyncio shows the failed task, with its exception's text, in the lines that follow the first.
    """
    del logger, name
    if getattr(event.get("_record"), "name", None) == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    found = event.pop("exc_info", None)
    if found:
        kind = found[0] if isinstance(found, tuple) else sys.exc_info()[0]
        event["error"] = getattr(kind, "__name__", "unknown")
    return event
