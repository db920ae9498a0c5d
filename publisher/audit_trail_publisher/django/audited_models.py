"""Watches models: each row that is created, changed or deleted becomes an event, with the values before and after."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, Literal, TypeVar

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import router, transaction
from django.db.models.signals import class_prepared, post_delete, post_save, pre_delete, pre_save

from audit_trail_publisher.django import patient_paths
from audit_trail_publisher.django.many_to_many import watch_relations
from audit_trail_publisher.django.querysets import AuditedQuerySet
from audit_trail_publisher.django.recording import (
    Snapshot,
    keep,
    rule_of,
    set_rule,
    snapshots,
)
from audit_trail_publisher.options import require_choice, several
from audit_trail_publisher.record_rule import Operation, PatientRule, RecordRule

M = TypeVar("M", bound=type)

_BEFORE = "_audit_trail_before"

Bulk = Literal["recorded", "unseen"]


def audited_model(
    *,
    type: str | None = None,
    patient: PatientRule = None,
    mask: Collection[str] = (),
    leave_out: Collection[str] = (),
    bulk: Bulk = "recorded",
) -> Callable[[M], M]:
    """Record the rows of a model: `record.created`, `record.updated` and `record.deleted`.

    ::

        @audited_model(patient="patient_id", mask=["comment"])
        class Observation(models.Model):
            objects = AuditedManager()
            class Meta:
                base_manager_name = "objects"

    - `type`: the resource type; by default the name of the model.
    - `patient`: the attribute with the id of the patient, or a function of the object that returns one or several.
    - `mask`: fields whose values are masked. That they changed is recorded.
    - `leave_out`: fields whose change alone is no event.
    - `bulk`: `unseen` accepts that `update`, `bulk_create` and `bulk_update` are not recorded, for a model whose
      manager is not yours, as ``audited_model(bulk="unseen")(User)``.

    A save is a transaction, and reads the row before and after. Not seen: raw SQL, and fixtures that are loaded.
    Raises `ImproperlyConfigured` for a field that does not exist, and for a manager that is not audited; for an
    attribute in `patient` when all models are loaded.
    """
    require_choice("bulk", bulk, Bulk)

    def watch(model: M) -> M:
        names = RecordRule(
            type=type or model.__name__,
            patient=patient,
            mask=frozenset(_field(model, name) for name in several(mask)),
            leave_out=frozenset(_field(model, name) for name in several(leave_out)),
        )
        if isinstance(patient, str):
            patient_paths.check(model, patient)
        if bulk == "recorded":
            _require_audited_managers(model)
        set_rule(model, names)
        _save_in_a_transaction(model)
        _connect(model)
        watch_relations(model)
        return model

    return watch


def _field(model: Any, name: str) -> str:
    """The name of a field; a misspelt one would not be masked."""
    for field in model._meta.concrete_fields:
        if name in {field.name, field.attname}:
            return str(field.name)
    try:
        return str(model._meta.get_field(name).name)
    except FieldDoesNotExist as exc:
        raise ImproperlyConfigured(f"{model.__name__} has no field {name}") from exc


def _require_audited_managers(model: Any) -> None:
    managers = {each.name: each for each in model._meta.managers} | {"_base_manager": model._base_manager}
    for name, manager in managers.items():
        if not isinstance(manager.get_queryset(), AuditedQuerySet):
            raise ImproperlyConfigured(
                f"bulk operations of {model.__name__}.{name} would not be recorded: set `objects = AuditedManager()`"
                ' and, in Meta, `base_manager_name = "objects"`, or give `bulk="unseen"`'
            )


def _save_in_a_transaction(model: Any) -> None:
    """A row and its event are written together, also where each statement would be a transaction of its own."""
    save_base = model.save_base

    @wraps(save_base)
    def atomic_save_base(self: Any, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            save_base(self, *args, **kwargs)

    atomic_save_base.alters_data = True  # type: ignore[attr-defined]
    model.save_base = atomic_save_base


def _connect(model: type[Any]) -> None:
    """Listen to a model and its subclasses: Django sends a child's or a proxy's signals with that class alone."""
    for each in [model, *model.__subclasses__()]:
        for signal, receiver in _RECEIVERS:
            signal.connect(receiver, sender=each, dispatch_uid=("audit_trail", each._meta.label))
        if each is not model:
            _connect(each)


def _connect_new(sender: Any, **_: Any) -> None:
    if rule_of(sender) is not None:
        _connect(sender)


def _before_save(sender: Any, instance: Any, raw: bool, using: str, **_: Any) -> None:
    rule = rule_of(sender)
    if rule is None or raw:
        return
    found = {} if instance.pk is None else snapshots(sender, rule, [instance.pk], using)
    _remember(instance, found.get(instance.pk))


def _after_save(sender: Any, instance: Any, raw: bool, using: str, **_: Any) -> None:
    rule = rule_of(sender)
    if rule is None or raw:
        return
    before: Snapshot | None = _recall(instance)
    after = snapshots(sender, rule, [instance.pk], using).get(instance.pk)
    keep(rule, using, Operation.UPDATED if before else Operation.CREATED, instance.pk, before, after)


def _before_delete(sender: Any, instance: Any, using: str, **_: Any) -> None:
    rule = rule_of(sender)
    if rule is not None:
        _remember(instance, snapshots(sender, rule, [instance.pk], using).get(instance.pk))


def _after_delete(sender: Any, instance: Any, using: str, **_: Any) -> None:
    rule = rule_of(sender)
    if rule is not None:
        keep(rule, using, Operation.DELETED, instance.pk, _recall(instance), None)


_RECEIVERS = (
    (pre_save, _before_save),
    (post_save, _after_save),
    (pre_delete, _before_delete),
    (post_delete, _after_delete),
)
class_prepared.connect(_connect_new, dispatch_uid="audit_trail")


def _remember(instance: Any, value: Any) -> None:
    """Keep a value with `instance` until `_recall`; a receiver may save the same object within."""
    instance.__dict__.setdefault(_BEFORE, []).append(value)


def _recall(instance: Any) -> Any:
    return instance.__dict__[_BEFORE].pop()
