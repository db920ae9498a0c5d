"""Tests in several processes: what shares something large is run by one of them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def large() -> int:
    """What is made once for the file."""
    return 1


def test_tests_that_share_a_fixture_of_their_file_are_run_by_one_process(
    request: pytest.FixtureRequest, large: int
) -> None:
    """pytest-xdist sends the tests whose ids end in the same name to the same process."""
    assert large
    is_grouped = request.config.getoption("loadgroup", False)
    assert request.node.nodeid.endswith("@requirements/test_distribution.py") == bool(is_grouped)
