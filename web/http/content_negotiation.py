"""The media types that a client accepts (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=256)
def accepted(header: str) -> tuple[str, ...]:
    """The media types and ranges in an `Accept`, the preferred ones first, without those of weight 0."""
    weighed = []
    for part in header.split(","):
        media, *parameters = (each.strip().lower() for each in part.split(";"))
        weights = [each.removeprefix("q=") for each in parameters if each.startswith("q=")]
        weight = _number(weights[0]) if weights else 1.0
        if weight > 0:
            weighed.append((media, weight))
    return tuple(media for media, _ in sorted(weighed, key=lambda each: -each[1]))


def _number(text: str) -> float:
    """A weight; an invalid one is 0."""
    try:
        return float(text)
    except ValueError:
        return 0.0
