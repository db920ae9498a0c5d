"""What the clinic keeps."""

from __future__ import annotations

from django.db import models

from audit_trail_publisher.django.audited_models import audited_model
from audit_trail_publisher.django.querysets import AuditedManager


@audited_model(patient="patient_id", mask=["comment"])
class Observation(models.Model):
    """What was measured on a patient. Each row that is written is an event, in the transaction that writes the row."""

    patient_id = models.CharField(max_length=64)
    status = models.CharField(max_length=20)
    comment = models.TextField(default="")

    objects = AuditedManager()

    class Meta:
        """Django uses the base manager for related objects."""

        base_manager_name = "objects"
