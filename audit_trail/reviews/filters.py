"""The filter of a review, as a test of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detection.reviews.populations import Matches
from queries.filters import match
from queries.filters.json_filter import filter_from


def matcher(conditions: Mapping[str, Any]) -> Matches:
    """A test of events. Raises `RejectedError` that names the condition."""
    return match.matcher(filter_from(conditions))
