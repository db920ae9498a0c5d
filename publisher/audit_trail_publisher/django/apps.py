"""The Django app, and the check of its settings."""

from __future__ import annotations

from django.apps import AppConfig

from audit_trail_publisher.django import many_to_many, patient_paths, settings, sign_ins


class AuditTrailConfig(AppConfig):  # type: ignore[misc]
    """Listens to sign-ins. Models are watched by the applications that have them."""

    name = "audit_trail_publisher.django"
    label = "audit_trail"
    verbose_name = "Audit trail"

    def ready(self) -> None:
        """Refuse wrong settings and rules at the start, and listen."""
        settings.load()
        patient_paths.check_waiting()
        sign_ins.connect()
        many_to_many.watch_waiting()
