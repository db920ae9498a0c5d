"""A manager and a query set whose bulk operations are recorded: Django sends no signals for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections, models, transaction

from audit_trail_publisher.django.recording import keep_all, limit, refused, rule_of, snapshots
from audit_trail_publisher.django.settings import load
from audit_trail_publisher.record_rule import is_recorded_by_hand


class AuditedQuerySet(models.QuerySet):  # type: ignore[misc]
    """Reads the rows before and after `update`, `bulk_update` and `bulk_create`, and records each.

    `BulkOperationError` refuses what can't be recorded: more rows than the setting `bulk_rows`, and rows that are
    inserted unless they conflict.
    """

    def update(self, **values: Any) -> int:
        """See `QuerySet.update`. `bulk_update` calls it as well."""
        rule = rule_of(self.model)
        if rule is None or is_recorded_by_hand():
            return int(super().update(**values))
        if (
            any(self.model._meta.get_field(name).primary_key for name in values if name != "pk")
            or "pk" in values
        ):
            raise refused(self.model, "it changes primary keys")
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            keys = list(self.order_by().values_list("pk", flat=True)[: load().bulk_rows + 1])
            limit(self.model, len(keys))
            before = snapshots(self.model, rule, keys, self.db)
            # Exactly these rows: another transaction may have added some that match.
            changed = super(AuditedQuerySet, self.filter(pk__in=keys)).update(**values)
            keep_all(rule, self.db, keys, before, snapshots(self.model, rule, keys, self.db))
        return int(changed)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        """See `QuerySet.bulk_create`."""
        rule = rule_of(self.model)
        if rule is None or is_recorded_by_hand():
            return list(super().bulk_create(objs, *args, **options))
        objs = list(objs)
        limit(self.model, len(objs))
        if options.get("ignore_conflicts") or options.get("update_conflicts"):
            raise refused(self.model, "which rows it writes on a conflict is not known")
        self._for_write = True
        returns_keys = connections[self.db].features.can_return_rows_from_bulk_insert
        if not returns_keys and any(each.pk is None for each in objs):
            raise refused(self.model, "this database does not return the primary keys")
        with transaction.atomic(using=self.db, savepoint=False):
            created = list(super().bulk_create(objs, *args, **options))
            keys = [each.pk for each in created]
            keep_all(rule, self.db, keys, {}, snapshots(self.model, rule, keys, self.db))
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class AuditedManager(models.Manager.from_queryset(AuditedQuerySet)):  # type: ignore[misc]
    """The manager of a watched model: ``objects = AuditedManager()``, and ``base_manager_name = "objects"`` in `Meta`.

    Django uses the base manager where a related object is added or removed, and for ``on_delete=SET_NULL``.
    """
