"""The OpenAPI document says what is answered, whatever is asked: judged by schemathesis, which knows nothing of us."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audit_trail.cases.worker import CaseWorker
from audit_trail.embedded.broker import Broker
from audit_trail.reviews.filters import matcher
from audit_trail.reviews.worker import ReviewWorker
from detection.cases.case_book import CaseBook
from detection.reviews.reading import LogReading
from detection.reviews.review_book import ReviewBook
from event_store.database import INGEST, Database
from tests.signing import TEXT
from tests.web.conftest import Serve

FILTERED = ("GET /v1/events", "GET /v1/event-counts", "GET /v1/export")
"""A filter of filters makes five thousand cases of each, value by value: several minutes."""
COMMANDS = "^POST /v1/(cases|reviews|suppressions)"
"""To make texts of up to 65,536 characters at random, Schemathesis needs seconds of the processor for each field."""
DETECTION = "/v1/(alerts|case|review|suppression|detection)"
"""Value by value, these take longer than a test may. At random, the queries among them are asked."""


@pytest.fixture
def carried_out(trail_url: str) -> Iterator[None]:
    """What the parts beside `serve` do with commands: without them, each request waits for seconds."""
    database = Database(trail_url, INGEST)
    with (
        closing(CaseBook(trail_url, TEXT)) as cases,
        closing(ReviewBook(trail_url, TEXT, LogReading(database), matcher)) as reviews,
    ):
        workers = (CaseWorker(database, cases), ReviewWorker(database, reviews))
        for each in workers:
            each.start()
        yield
        for each in workers:
            each.stop()


@pytest.mark.usefixtures("carried_out")
@pytest.mark.parametrize(
    ("phases", "routes"),
    [
        pytest.param("examples,fuzzing", (f"--exclude-name-regex={COMMANDS}",), id="at random"),
        pytest.param(
            "coverage",
            (*(f"--exclude-name={name}" for name in FILTERED), f"--exclude-name-regex={DETECTION}"),
            marks=pytest.mark.thorough,
            id="value by value",
        ),
    ],
)
def test_the_answers_are_those_that_openapi_describes_whatever_is_asked(
    serve: Serve,
    trail_url: str,
    tmp_path: Path,
    broker: Broker,
    topic: str,
    phases: str,
    routes: tuple[str, ...],
    thorough: bool,
) -> None:
    """With every check, those too that good requests are accepted and that bad ones are not."""
    client = serve(trail_url, broker.bootstrap_servers, topic=topic)
    arguments = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{client.base_url}/openapi.json",
        f"--max-examples={2 if thorough else 1}",
        "--generation-deterministic",
        "--generation-allow-x00=false",
        f"--phases={phases}",
        "--request-timeout=20",
        "--no-color",
        "-H",
        f"Authorization: {client.headers['authorization']}",
        *routes,
    ]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=900, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "generated" in ran.stdout
