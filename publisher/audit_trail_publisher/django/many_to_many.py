"""Changes of many-to-many relations of watched models: their rows are in a table without a watched model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.models.signals import m2m_changed

from audit_trail_publisher.django.recording import Snapshot, keep, rule_of, snapshots
from audit_trail_publisher.generated.event import Change
from audit_trail_publisher.record_rule import Operation, RecordRule

_BEFORE = "_audit_trail_related_before"
_waiting: list[type[Any]] = []


def watch_relations(model: Any) -> None:
    """Listen to the relations of `model`, once all models are loaded: until then their tables have no classes."""
    if not apps.models_ready:
        _waiting.append(model)
        return
    for field in model._meta.many_to_many:
        m2m_changed.connect(
            _changed, sender=field.remote_field.through, dispatch_uid=("audit_trail", str(field))
        )


def watch_waiting() -> None:
    """All models are loaded."""
    while _waiting:
        watch_relations(_waiting.pop())


def _changed(
    sender: Any,
    instance: Any,
    action: str,
    reverse: bool,
    model: Any,
    pk_set: set[Any] | None,
    using: str,
    **_: Any,
) -> None:
    watched = model if reverse else type(instance)
    rule = rule_of(watched)
    if rule is None:
        return
    field = next(each for each in watched._meta.many_to_many if each.remote_field.through is sender)
    change = _FromOtherSide if reverse else _FromThisSide
    change(field, sender, rule, watched, instance, using).on(action, pk_set)


class _Relation:
    """One change of a relation `field` of `watched`, whose rows are those of `through`."""

    def __init__(
        self, field: Any, through: Any, rule: RecordRule, watched: Any, instance: Any, using: str
    ) -> None:
        self._field = field
        self._through = through
        self._rule = rule
        self._watched = watched
        self._instance = instance
        self._using = using

    def on(self, action: str, keys: set[Any] | None) -> None:
        """The signal `action`."""
        if action.startswith("pre_"):
            self._instance.__dict__[_BEFORE] = self._related()
        else:
            self._record(action, self._instance.__dict__.pop(_BEFORE), keys)

    def _related(self) -> list[Any]:
        raise NotImplementedError

    def _record(self, action: str, before: list[Any], keys: set[Any] | None) -> None:
        raise NotImplementedError

    def _keys(self, known: str, wanted: str) -> list[Any]:
        rows = self._through._base_manager.using(self._using).filter(**{known: self._instance.pk})
        return list(rows.order_by(wanted).values_list(wanted, flat=True))

    def _keep(self, key: Any, patients: tuple[str, ...], before: Iterable[Any], after: Iterable[Any]) -> None:
        was, now = list(map(str, before)), list(map(str, after))
        if was != now:
            same = Snapshot({}, patients)
            change = Change(path=self._field.name, before=was, after=now)
            keep(self._rule, self._using, Operation.UPDATED, key, same, same, [change])


class _FromThisSide(_Relation):
    """``observation.tags.add(tag)``: the related keys before and after."""

    def _related(self) -> list[Any]:
        return self._keys(self._field.m2m_field_name(), self._field.m2m_reverse_field_name())

    def _record(self, action: str, before: list[Any], keys: set[Any] | None) -> None:  # noqa: ARG002
        self._keep(self._instance.pk, self._rule.patients_of(self._instance), before, self._related())


class _FromOtherSide(_Relation):
    """``tag.observation_set.add(observation)``: each observation gets or loses this one tag."""

    def _related(self) -> list[Any]:
        return self._keys(self._field.m2m_reverse_field_name(), self._field.m2m_field_name())

    def _record(self, action: str, before: list[Any], keys: set[Any] | None) -> None:
        touched = before if keys is None else sorted(keys)
        one = [self._instance.pk]
        was, now = ([], one) if action == "post_add" else (one, [])
        for key, row in snapshots(self._watched, self._rule, touched, self._using).items():
            self._keep(key, row.patients, was, now)
