"""The rules of saved views, and that their events say the same in every order and to nobody what the role hides."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from domain.access.principal import Principal, Role
from domain.access.saved_view import (
    MAX_FILTER,
    MAX_NAME,
    MAX_VIEWS,
    SavedView,
    apply,
    change_of,
    roles_to_share_with,
    view_changed,
    view_deleted,
    view_saved,
)
from domain.access.scope import Scope
from domain.catalogue import TRAIL_SERVICE
from domain.errors import AccessDeniedError, ConflictError, RejectedError
from domain.event import ActorKind, AuditEvent, Resource, Source
from domain.validation import check, decode_event, encode_event
from projections.models.user import VIEW, UserProjector
from projections.testing import record
from tests.domain.access.knowing import somebody
from tests.hospital import START, event

TRAIL = Source(service=TRAIL_SERVICE)
ADA = somebody(Role.PRIVACY_OFFICER, name="Ada Example")
EVA = somebody(Role.AUDITOR)
HELD = SavedView(id=UUID(int=7), owner=ADA.id, name="Night", filter="emergency=true", version=4)


def saved(
    name: str = "Night", filter: str = "emergency=true", shared: Role | None = None, by: Principal = ADA
) -> AuditEvent:
    return view_saved(name, filter, shared, by=by, owned=0, at=START, source=TRAIL)


def changed(
    view: SavedView = HELD, version: int = 4, by: Principal = ADA, **wanted: Any
) -> AuditEvent | None:
    return view_changed(view, version, **wanted, by=by, at=START, source=TRAIL)


def folded(*events: AuditEvent) -> SavedView | None:
    view = None
    for recorded in record(events):
        view = apply(view, recorded)
    return view


def test_a_view_is_what_its_events_say() -> None:
    begun = saved(shared=Role.PRIVACY_OFFICER)
    view = folded(begun)
    assert view is not None
    assert (view.owner, view.name, view.filter, view.shared_with, view.version) == (
        ADA.id, "Night", "emergency=true", Role.PRIVACY_OFFICER, 0,
    )  # fmt: skip
    renamed = changed(view, 0, name="Day", shared_with=None)
    assert renamed is not None
    assert [(each.path, each.before, each.after) for each in renamed.changes] == [
        ("name", "Night", "Day"),
        ("shared_with", "privacy_officer", None),
    ]
    assert folded(begun, renamed) == replace(view, name="Day", shared_with=None, version=1)
    gone = folded(begun, view_deleted(view, 0, by=ADA, at=START, source=TRAIL), renamed)
    assert gone is not None
    assert gone.deleted
    for each in (begun, renamed):
        assert decode_event(encode_event(check(each))) == each


def test_only_the_owner_changes_a_view() -> None:
    for by in (EVA, replace(ADA, kind=ActorKind.SERVICE)):
        with pytest.raises(AccessDeniedError):
            changed(name="Mine", by=by)
        with pytest.raises(AccessDeniedError):
            view_deleted(HELD, 4, by=by, at=START, source=TRAIL)
    with pytest.raises(AccessDeniedError):
        saved(by=replace(ADA, kind=ActorKind.SERVICE))


def test_an_event_of_somebody_else_or_of_another_service_changes_nothing() -> None:
    begun = saved()
    view = folded(begun)
    assert view is not None
    real = changed(view, 0, name="Mine")
    assert real is not None
    for forged in (
        replace(real, actor=EVA.actor),
        replace(real, source=Source(service="audit-trai1")),
        replace(real, resources=(*real.resources, Resource(type="SavedView", id=str(uuid4())))),
        replace(real, resources=(Resource(type="SavedView", id=str(uuid4())),)),
        replace(real, changes=(replace(real.changes[0], after="x" * (MAX_NAME + 1)),)),
        replace(real, changes=(replace(real.changes[0], after={"a": 1}),)),
    ):
        assert folded(begun, forged) == view
    assert folded(real) is None
    assert change_of(replace(begun, changes=begun.changes[:1])) is None


def test_a_change_of_what_was_seen_long_ago_is_refused() -> None:
    for version in (3, 5):
        with pytest.raises(ConflictError, match="has changed since"):
            changed(version=version, name="Day")
    with pytest.raises(ConflictError):
        changed(replace(HELD, deleted=True), name="Day")
    assert changed(name="Night", filter="emergency=true", shared_with=None) is None


@pytest.mark.parametrize(
    "name", ["", "  \n", "\u200b\u202e", "x" * (MAX_NAME + 1), "a\0b", "a\x1b[2Jb", "\ud800"]
)
def test_a_name_that_nobody_can_read_is_refused(name: str) -> None:
    with pytest.raises(RejectedError):
        saved(name)
    with pytest.raises(RejectedError):
        changed(name=name)


def test_a_name_is_kept_as_it_is_apart_from_surplus_blanks() -> None:
    for name in ("<script>alert(1)</script>", "\u05e9\u05dc\u05d5\u05dd \u202eabc", "x" * MAX_NAME):
        view = folded(saved(f"  {name}\n "))
        assert view is not None
        assert view.name == name


def test_a_filter_and_the_number_of_views_are_bounded() -> None:
    with pytest.raises(RejectedError):
        saved(filter="x" * (MAX_FILTER + 1))
    with pytest.raises(ConflictError, match="delete one"):
        view_saved("One more", "", None, by=ADA, owned=MAX_VIEWS, at=START, source=TRAIL)


def test_a_view_is_shared_with_a_role_of_the_owner_and_never_with_patients() -> None:
    patient = somebody(Role.PATIENT)
    both = replace(patient, roles=frozenset({Role.PATIENT, Role.CLINICIAN}))
    assert roles_to_share_with(patient) == []
    assert roles_to_share_with(both) == [Role.CLINICIAN]
    assert Role.PATIENT not in roles_to_share_with(somebody(Role.ADMIN))
    assert Role.CLINICIAN in roles_to_share_with(somebody(Role.ADMIN))
    for by, role in ((ADA, Role.AUDITOR), (patient, Role.PATIENT), (somebody(Role.OPERATOR), Role.OPERATOR)):
        with pytest.raises(RejectedError):
            saved(shared=role, by=by)
    # The owner has lost the role meanwhile, and renames the view.
    kept = replace(HELD, shared_with=Role.AUDITOR)
    assert changed(kept, name="Day", shared_with=Role.AUDITOR) is not None


SECRET = "Doe, Jane"


@pytest.mark.parametrize("role", list(Role))
def test_who_sees_an_event_of_a_view_sees_of_its_filter_what_the_role_may(role: Role) -> None:
    said = saved(SECRET, f"patient={SECRET}&address=10.0.0.99")
    scope = Scope(somebody(role))
    assert scope.admits(said) is (
        role
        in {
            *(Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER),
            *(Role.REVIEWER, Role.ANALYST, Role.ADMIN),
        }
    )
    if scope.admits(said):
        shown = SECRET in encode_event(scope.redacted(said)).decode()
        assert shown is (role in {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ADMIN})


def test_a_person_sees_the_events_of_the_own_views_alone() -> None:
    ada, bob = (somebody(Role.CLINICIAN, actors=(f"a-{Role.CLINICIAN.value}",)), somebody(Role.CLINICIAN))
    said = saved(by=ada)
    assert Scope(ada).admits(said)
    assert not Scope(bob).admits(said)


def test_a_publisher_reports_no_events_of_views() -> None:
    for source in (TRAIL, Source(service="patient-service")):
        forged = replace(saved(), source=source)
        for role, sources in ((Role.PUBLISHER, ()), (Role.PUBLISHER, (source.service,)), (Role.ADMIN, ())):
            with pytest.raises(AccessDeniedError):
                Scope(somebody(role, sources=sources)).require_report(forged)


_VIEWS = [UUID(int=1), UUID(int=2)]


@st.composite
def _happened(draw: st.DrawFn) -> AuditEvent:
    """An event about one of two views, by one of two persons, whatever the rules say."""
    by = draw(st.sampled_from([ADA, EVA]))
    name, filter = draw(st.sampled_from("abc")), draw(st.sampled_from(["", "type=x"]))
    held = replace(HELD, id=draw(st.sampled_from(_VIEWS)), owner=by.id, name="", filter="?")
    shared = draw(st.sampled_from([None, *roles_to_share_with(by)]))
    kind = draw(st.sampled_from(["saved", "changed", "changed", "deleted"]))
    if kind == "deleted":
        return view_deleted(held, 4, by=by, at=START, source=TRAIL)
    if kind == "saved":
        return replace(
            saved(name, filter, shared, by), resources=(Resource(type="SavedView", id=str(held.id)),)
        )
    found = changed(held, by=by, name=name, filter=draw(st.sampled_from([UNSET, filter])), shared_with=shared)
    return found or event("record.read", 0)


@for_all(
    st.lists(_happened(), max_size=8),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_the_read_model_holds_what_folding_gives_in_whatever_order_it_is_merged(
    then: list[AuditEvent], cut: int, chance: random.Random
) -> None:
    begun = [
        replace(saved(by=by), resources=(Resource(type="SavedView", id=str(id)),))
        for by in (ADA, EVA)
        for id in _VIEWS
    ]
    recorded = record([*begun, *then])
    rows = list(UserProjector().rows(recorded)["user_view"])
    chance.shuffle(rows)
    merged = VIEW.combine([*VIEW.combine(rows[:cut]), *VIEW.combine(rows[cut:])])
    assert len(merged) == len(begun)
    for row in merged:
        held = dict(zip(VIEW.names, row, strict=True))
        view = SavedView(id=UUID(held["view"]), owner=held["owner"], name="", filter="")
        for each in recorded:
            view = apply(view, each) or view
        assert (held["name"], held["filter"], held["shared_with"], held["position"], held["deleted"]) == (
            view.name, view.filter, view.shared_with or "", view.version, view.deleted,
        )  # fmt: skip
