"""What the trail says of a shared link, and the events that a link shows."""

from __future__ import annotations

from domain.access.shared_link import LINK, REVOKED, SHARED, Shared, SharedLink, state_of
from domain.catalogue import TRAIL_SERVICE
from queries.filters.event_filter import EventFilter, PageRequest, during
from queries.read_models import ReadModels
from queries.search.prepared import prepare

_MOST = 100
"""Events about one link: that it was made, and that it was revoked, perhaps by several people at once."""


class SharedLinks:
    """Looks links up in the trail, each time: a revocation counts in every process once it is visible."""

    def __init__(self, models: ReadModels) -> None:
        self._models = models

    def state(self, id: str) -> Shared:
        """What the trail says of a link. It blocks, and raises `AuditTrailError` when the trail can't be asked."""
        about = EventFilter(
            resource_type=LINK, resource_id=id, types=(SHARED, REVOKED), service=TRAIL_SERVICE
        )
        page = self._models.events(prepare(about), PageRequest(first=_MOST))
        return state_of(each.event for each in page.events)


def shown_events(link: SharedLink, conditions: EventFilter) -> EventFilter:
    """All that exists for the reader of a link. `conditions` are those of its list, if it shows one."""
    if link.event is not None:
        at = link.event.position
        return EventFilter(position_from=at, position_until=at + 1)
    assert link.list is not None
    return during(conditions, link.list.begin, link.list.end)
