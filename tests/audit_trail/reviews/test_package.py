"""The package of a review: it verifies offline, and a changed or missing decision does not."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.cases.commands import Person
from domain.reviews.commands import CloseReview, DecideItem, ReviewVerdict
from event_store.evidence import report
from tests.audit_trail import programs
from tests.audit_trail.evidence.kits import VKEY, bad, good, settle
from tests.detection.reviews.given_reviews import PAUL, RITA, a_book, accesses, begin, command
from tests.trail import Trail


@pytest.fixture
def closed(trail: Trail) -> UUID:
    """A closed review of two accesses."""
    accesses(trail, ["ada", "bob"], patients=[{"id": "17"}])
    review = uuid4()
    with closing(a_book(trail)) as book:
        book.carry_out(command(review, begin(reviewers=(Person(id="rita"),))))
        for item in (1, 2):
            body = DecideItem(item=item, verdict=ReviewVerdict.JUSTIFIED, reason=f"On duty {item}.")
            book.carry_out(command(review, body, RITA))
        accesses(trail_after(trail), ["eve"])
        book.carry_out(command(review, CloseReview(reason="Done."), PAUL))
    return review


def trail_after(trail: Trail) -> Trail:
    """Others have appended: the next position is another one."""
    [(trail.size,)] = trail.rows("SELECT size FROM audit_trail.log_state")
    return trail


@pytest.fixture
def kit(trail: Trail, closed: UUID, tmp_path: Path) -> Path:
    out = tmp_path / "kit"
    done = programs.run(
        "review", "export", str(closed), "--out", out,
        settings={"database_url": trail.url, "reads_unrecorded": "flag", "log_vkeys": VKEY},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def lines(kit: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (kit / "events.ndjson").read_bytes().splitlines()]


def test_the_package_is_checked_with_nothing_but_itself_and_the_public_key(kit: Path, closed: UUID) -> None:
    assert "OK: 7 events are in the log audit-trail.test/log, in its tree of 8 events" in good(
        kit, "--vkey", VKEY
    )
    assert [each["event"]["type"] for each in lines(kit)] == [
        "record.read",
        "record.read",
        "review.begun",
        "review.items_assigned",
        "review.item_decided",
        "review.item_decided",
        "review.closed",
    ]
    manifest = json.loads((kit / "manifest.json").read_text())
    assert manifest["selection"]["review"] == str(closed)
    assert manifest["selection"]["verdicts"] == ["justified: 2"]
    page = (kit / "report.html").read_text()
    assert "On duty 1." in page
    assert "review.item_decided" in page


def test_a_changed_decision_does_not_verify(kit: Path) -> None:
    body = kit / "bodies/4"
    body.write_bytes(body.read_bytes().replace(b"justified", b"revoked!!"))
    assert "bodies/4" in bad(kit)
    settle(kit)
    assert "bodies/4: its SHA-256 is not the one in the leaf entry" in bad(kit)


def test_a_missing_decision_is_noticed(kit: Path) -> None:
    for name in ("bodies/4", "entries/4", "proofs/4.tlog-proof"):
        (kit / name).unlink()
    kept = [
        line for line in (kit / "events.ndjson").read_bytes().splitlines(True) if b'"position":4,' not in line
    ]
    (kit / "events.ndjson").write_bytes(b"".join(kept))
    manifest = json.loads((kit / "manifest.json").read_text())
    manifest["events"] = "6"
    (kit / "manifest.json").write_text(json.dumps(manifest))
    page = [report.report_head(manifest), *map(report.report_event, kept), report.REPORT_END]
    (kit / "report.html").write_text("".join(page))
    settle(kit)
    assert "before its event 4 is missing" in bad(kit)


def test_what_is_no_review_is_refused(trail: Trail, tmp_path: Path) -> None:
    done = programs.run(
        "review", "export", str(uuid4()), "--out", tmp_path / "kit",
        settings={"database_url": trail.url, "reads_unrecorded": "flag"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "there is no such review" in done.stderr
