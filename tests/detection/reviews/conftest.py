"""A book of reviews on a log of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from detection.reviews.review_book import ReviewBook
from tests.detection.reviews.given_reviews import a_book
from tests.trail import Trail


@pytest.fixture
def book(trail: Trail) -> Iterator[ReviewBook]:
    with closing(a_book(trail)) as book:
        yield book
