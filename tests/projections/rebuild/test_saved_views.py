"""The views of a rebuilt read model are those of the live one: no change of a range that comes late brings one back."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from domain.access.principal import Role
from domain.access.saved_view import view_changed, view_deleted, view_saved
from domain.catalogue import TRAIL_SERVICE
from domain.event import Source
from projections.models.user import UserProjector
from tests.domain.access.knowing import somebody
from tests.projections.rebuild.rebuilds import assert_same, rebuild_now
from tests.trail import START, Trail

ADA = somebody(Role.AUDITOR)
_SOURCE = Source(service=TRAIL_SERVICE)
saved = partial(view_saved, by=ADA, owned=0, at=START, source=_SOURCE)
changed = partial(view_changed, by=ADA, at=START, source=_SOURCE)
deleted = partial(view_deleted, by=ADA, at=START, source=_SOURCE)


def test_a_rebuild_gives_the_same_views(trail: Trail) -> None:
    begun = [saved(f"View {at}", "emergency=true", None) for at in range(3)]
    trail.given(*begun)
    kept, shared, gone = views = trail.read.own_views(ADA.id)
    assert [each.name for each in views] == ["View 0", "View 1", "View 2"]
    happened = [
        changed(kept, kept.version, name="A"),
        changed(shared, shared.version, shared_with=Role.AUDITOR),
        deleted(gone, gone.version),
        changed(kept, kept.version, name="B", filter="type=record.read"),
        changed(gone, gone.version, name="Back again"),
    ]
    trail.given(*(each for each in happened if each is not None))
    before = trail.read.own_views(ADA.id)
    assert [(each.name, each.filter, each.shared_with) for each in before] == [
        ("B", "type=record.read", None),
        ("View 1", "emergency=true", Role.AUDITOR),
    ]
    assert trail.read.own_view(ADA.id, gone.id) is None
    rebuild_now(trail, "user", width=2)
    assert_same(trail, UserProjector())
    assert trail.read.own_views(ADA.id) == before
    assert trail.read.own_view(ADA.id, UUID(int=1)) is None
    assert trail.read.shared_views("another", {Role.AUDITOR}).views == before[1:]
    assert trail.read.own_views("another") == [] == trail.read.shared_views(ADA.id, set(Role)).views
