"""Models that are watched."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models

from audit_trail_publisher.django.audited_models import audited_model
from audit_trail_publisher.django.querysets import AuditedManager


class Tag(models.Model):  # type: ignore[misc]
    name = models.CharField(max_length=20, primary_key=True)


@audited_model(patient="patient_id", mask=["comment"], leave_out=["seen"])
class Observation(models.Model):  # type: ignore[misc]
    patient_id = models.CharField(max_length=20)
    status = models.CharField(max_length=20)
    value = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    comment = models.CharField(max_length=100, default="")
    seen = models.IntegerField(default=0)
    previous = models.ForeignKey("self", models.SET_NULL, null=True)
    tags = models.ManyToManyField(Tag)

    objects = AuditedManager()

    class Meta:
        base_manager_name = "objects"


class FinalObservation(Observation):
    class Meta:
        proxy = True


@audited_model(patient="observation.patient_id")
class Part(models.Model):  # type: ignore[misc]
    observation = models.ForeignKey(Observation, models.CASCADE)
    code = models.CharField(max_length=20)

    objects = AuditedManager()

    class Meta:
        base_manager_name = "objects"


audited_model(type="Account", mask=["password"], leave_out=["last_login"], bulk="unseen")(User)
