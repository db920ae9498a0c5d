"""The Django app of the outbox."""

from __future__ import annotations

from django.apps import AppConfig

from audit_trail_publisher.django.settings import OUTBOX


class OutboxConfig(AppConfig):  # type: ignore[misc]
    """Its migration makes the table."""

    name = "audit_trail_publisher.django.outbox"
    label = OUTBOX
    verbose_name = "Audit trail: events on their way"
    default_auto_field = "django.db.models.BigAutoField"
