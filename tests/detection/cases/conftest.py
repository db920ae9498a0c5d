"""A book of cases on a log of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from detection.cases.case_book import CaseBook
from tests.signing import TEXT
from tests.trail import Trail


@pytest.fixture
def book(trail: Trail) -> Iterator[CaseBook]:
    with closing(CaseBook(trail.url, TEXT)) as book:
        yield book
