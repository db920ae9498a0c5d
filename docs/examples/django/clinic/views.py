"""Reading and writing observations."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from clinic.audit import trail
from clinic.models import Observation


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The first page."""
    return HttpResponse(f"Good morning, {request.user.get_username() or 'stranger'}")


@require_POST
@login_required
def add(request: HttpRequest) -> HttpResponse:
    """Create an observation, which the model records."""
    made = Observation.objects.create(
        patient_id=request.POST["patient_id"], status=request.POST["status"], comment=request.POST["comment"]
    )
    return JsonResponse({"id": made.pk}, status=201)


@require_GET
@login_required
def show(_: HttpRequest, id: int) -> HttpResponse:
    """Read an observation. No model can know who has seen it, so the view records that."""
    found = get_object_or_404(Observation, pk=id)
    trail.record.read(patient=found.patient_id, resource=("Observation", str(id)))
    return JsonResponse({"patient_id": found.patient_id, "status": found.status, "comment": found.comment})


@require_POST
@login_required
def finish(request: HttpRequest, patient_id: str) -> HttpResponse:
    """Make all observations of a patient final: a bulk operation, of which each row is recorded."""
    if not request.user.is_superuser:
        raise PermissionDenied
    changed = Observation.objects.filter(patient_id=patient_id).update(status="final")
    return JsonResponse({"changed": changed})


def healthz(_: HttpRequest) -> HttpResponse:
    """For the orchestrator. `trail.health()` says whether events reach the trail; that must not end the service."""
    return HttpResponse("ok")
