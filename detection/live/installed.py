"""The projections that come with Audit Trail."""

from __future__ import annotations

from detection.live.projector import DetectionProjector
from projections.projector import Projector
from projections.registry import built_in


def installed() -> tuple[Projector, ...]:
    """The read models, and detection."""
    return (*built_in(), DetectionProjector())
