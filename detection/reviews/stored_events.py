"""The stored form of the events of reviews. A body names its type, for those who check a package offline."""

from __future__ import annotations

from detection.cases.stored_events import StoredForms
from detection.reviews.review import Review

REVIEW_EVENTS = StoredForms(Review, typed=True)
