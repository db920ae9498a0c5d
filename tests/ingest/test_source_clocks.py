"""A source whose clock is wrong is seen in the metrics, and no sender makes too many of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.settings import IngestSettings
from ingest.source_clocks import MAX_SOURCES, OTHERS

Call = Callable[..., Any]


def said(message: bytes, service: str, off: timedelta) -> bytes:
    """The message as `service` sends it, whose clock is off."""
    now = (datetime.now(UTC) + off).isoformat().encode()
    return message.replace(b"2026-11-24T10:00:00Z", now).replace(
        b'"authentication"', b'"%s"' % service.encode()
    )


def test_events_from_the_future_and_late_ones_are_seen_by_source(
    settings: IngestSettings, publish: Call, running: Call, message: Call
) -> None:
    hour = timedelta(hours=1)
    publish(
        [said(message(), "fast", hour), said(message(), "slow", -hour), said(message(), "slow", -3 * hour)],
        key=b"one",  # one partition, so that one batch holds them
    )
    with running(settings) as run:
        value = run.registry.get_sample_value
        run.until(lambda: value("audit_trail_source_behind_seconds", {"service": "slow"}) is not None)
        run.until(lambda: value("audit_trail_source_ahead_seconds", {"service": "fast"}) is not None)
        ahead = [value("audit_trail_source_ahead_seconds", {"service": name}) for name in ("fast", "slow")]
        behind = [value("audit_trail_source_behind_seconds", {"service": name}) for name in ("fast", "slow")]
        assert value("audit_trail_clock_ahead_seconds") < 60
    assert 3500 < ahead[0] < 3601
    assert (ahead[1], behind[0]) == (0, 0)
    assert 3599 < behind[1] < 3700


def test_many_sources_share_one_label(
    settings: IngestSettings, publish: Call, running: Call, message: Call
) -> None:
    publish([said(message(), f"service-{number}", timedelta(hours=1)) for number in range(MAX_SOURCES + 9)])
    with running(settings) as run:
        value = run.registry.get_sample_value
        run.until(lambda: value("audit_trail_source_ahead_seconds", {"service": OTHERS}) is not None)
        [metric] = [
            each for each in run.registry.collect() if each.name == "audit_trail_source_ahead_seconds"
        ]
        names = {sample.labels["service"]: sample.value for sample in metric.samples}
    assert len(names) == MAX_SOURCES + 1
    assert names[OTHERS] > 3500
