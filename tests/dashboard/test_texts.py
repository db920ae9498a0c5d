"""Sentences, ranges of times and histograms."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from dashboard.explorer.ranges import range_of
from dashboard.histogram import histogram, unit_of
from dashboard.locales import PLAIN
from dashboard.sentences import sentence
from dashboard.texts import as_text, size
from dashboard.viewer import Viewer, zone_of
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.catalogue import CATALOGUE
from domain.errors import RejectedError
from domain.event import Actor, AuditEvent, Device, Outcome, Patient, Resource, Source
from queries.counts import Bucket, EventCounts
from queries.filters.event_filter import CountBy
from tests.hospital import event


def viewer(zone: str = "UTC", now: datetime = datetime(2026, 3, 29, 12, tzinfo=UTC)) -> Viewer:
    principal = Principal(id="a", roles=frozenset({Role.AUDITOR}))
    return Viewer(principal=principal, scope=Scope(principal), zone=zone, now=now)


@pytest.mark.parametrize(
    ("zone", "day", "begin", "hours"),
    [
        ("UTC", "2026-03-29", "2026-03-29T00:00+00:00", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00+00:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00+00:00", 25),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00+00:00", 23),
        ("Asia/Kolkata", "2026-03-29", "2026-03-28T18:30+00:00", 24),
        # The clock skips midnight: the day begins at 1 o'clock.
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00+00:00", 23),
        # Midnight comes twice: the day begins at the first one.
        ("America/Havana", "2026-11-01", "2026-11-01T04:00+00:00", 25),
    ],
)
def test_a_range_to_a_day_includes_the_whole_of_it(zone: str, day: str, begin: str, hours: int) -> None:
    found = range_of([("from", day), ("to", day)], viewer(zone))
    assert found.begin == datetime.fromisoformat(begin)
    assert found.end - found.begin == timedelta(hours=hours)
    assert (found.from_text, found.to_text) == (day, day)


def test_the_next_day_begins_where_a_day_ends() -> None:
    for zone in (
        "Europe/Berlin",
        "America/Santiago",
        "America/Havana",
        "Australia/Lord_Howe",
        "Pacific/Apia",
    ):
        for number_of_day in range(365):
            day = date(2026, 1, 1) + timedelta(days=number_of_day)
            assert viewer(zone).end_of(day) == viewer(zone).begin_of(day + timedelta(days=1))
            assert viewer(zone).moment(viewer(zone).begin_of(day)).local[:10] == day.isoformat()


def test_without_a_range_a_view_begins_with_the_last_week() -> None:
    found = range_of([], viewer())
    assert (found.begin, found.end) == (datetime(2026, 3, 23, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC))
    assert (found.from_text, found.to_text) == ("2026-03-23", "2026-03-29")


def test_a_moment_needs_its_offset_and_keeps_it() -> None:
    found = range_of([("from", "2026-03-01T08:00+02:00"), ("to", "2026-03-01T09:00+02:00")], viewer())
    assert found.begin == datetime(2026, 3, 1, 6, tzinfo=UTC)
    assert found.from_text == "2026-03-01T08:00+02:00"
    for bad in ("2026-02-30", "9999-12-31", "2026-03-01T08:00", "x", "2026-3-1"):
        with pytest.raises(RejectedError) as caught:
            range_of([("to", bad)], viewer())
        assert caught.value.field == "to"


def test_a_zone_that_does_not_exist_is_not_used() -> None:
    assert zone_of("Europe/Atlantis", None, "Europe/Berlin") == "Europe/Berlin"
    assert zone_of("../../etc/passwd", "") == "UTC"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            event(
                "record.read", 0, patients=(Patient(id="1007"),), resources=(Resource(type="Observation", id="o-3"),),
                actor=Actor(id="n.nightshift", name="Nora Nightshift"), emergency=True, reason="Patient collapsed",
            ),
            "Nora Nightshift read Observation o-3 of patient 1007, break-glass: Patient collapsed",
        ),
        (event("user.login_failed", 0, outcome="minor_failure", outcome_reason="wrong password"),
         "Ada Example failed to log in: wrong password"),
        (event("record.read", 0, patients=(Patient(id="17"),), resources=(Resource(type="Patient", id="17"),)),
         "Ada Example read patient 17"),
        (event("record.deleted", 0, actor=Actor(), outcome="major_failure"), "Somebody deleted, which failed"),
        (event("access.denied", 0, outcome="serious_failure", outcome_reason="account locked"),
         "Ada Example was refused access: account locked"),
        (event("device.connected", 0, actor=Actor(id="pump-1", name="Pump"), device=Device(id="pump-1")),
         "Pump connected"),
        (event("health_check.failed", 0, source=Source(service="vitals")), "vitals failed its health check"),
        (event("record.searched", 0, patients=tuple(Patient(id=str(each)) for each in range(5))),
         "Ada Example searched data of patient 0, patient 1, patient 2, 2 more patients"),
    ],
)  # fmt: skip
def test_an_event_reads_as_a_sentence(given: AuditEvent, text: str) -> None:
    assert sentence(given) == text


def test_every_type_of_the_catalogue_reads_as_something() -> None:
    for type in (*CATALOGUE, "unheard.of"):
        assert sentence(event(type, 0, outcome=Outcome.SUCCESS)).strip()


def test_a_histogram_covers_the_whole_range_with_empty_bars_too() -> None:
    begin, end = datetime(2026, 3, 1, 8, tzinfo=UTC), datetime(2026, 3, 1, 12, tzinfo=UTC)
    bucket = Bucket("x", begin + timedelta(hours=1), begin + timedelta(hours=2), 7)
    found = histogram(
        EventCounts([bucket], 1, 7, 0),
        begin,
        end,
        CountBy.HOUR,
        viewer(),
        lambda one, two: f"/{one:%H}-{two:%H}",
    )
    assert [(bar.events, bar.link) for bar in found.bars] == [
        (0, "/08-09"),
        (7, "/09-10"),
        (0, "/10-11"),
        (0, "/11-12"),
    ]
    assert (found.events, found.largest) == (7, 7)


def test_a_long_range_is_drawn_by_days() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert unit_of(begin, begin + timedelta(days=8)) is CountBy.HOUR
    assert unit_of(begin, begin + timedelta(days=9)) is CountBy.DAY


def test_numbers_sizes_and_values_are_written_for_people() -> None:
    assert PLAIN.number(1234567) == "1\u202f234\u202f567"
    assert size(1_500_000) == "1.5 MB"
    assert [as_text(each) for each in (None, "x", 3, {"b": 1, "a": [None]})] == [
        "(nothing)",
        "x",
        "3",
        '{"a": [null], "b": 1}',
    ]


def test_a_range_may_end_now() -> None:
    found = range_of([("last", "24h")], viewer())
    assert (found.begin, found.end) == (
        datetime(2026, 3, 28, 12, 1, tzinfo=UTC),
        datetime(2026, 3, 29, 12, 1, tzinfo=UTC),
    )
    for bad in ("24", "0d", "1w", "99999d", "-1h"):
        with pytest.raises(RejectedError) as caught:
            range_of([("last", bad)], viewer())
        assert caught.value.field == "last"
