"""Views of every kind, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from tests.publisher.integrations.clinic import trail

held = threading.Event()


def patient(_: Any, id: str) -> HttpResponse:
    trail.record.read(patient=id, resource=("Patient", id))
    return HttpResponse(id)


async def patient_async(_: Any, id: str) -> HttpResponse:
    await trail.aio.record.read(patient=id, resource=("Patient", id))
    return HttpResponse(id)


def sign_in(request: Any) -> HttpResponse:
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    return HttpResponse("welcome")


def sign_out(request: Any) -> HttpResponse:
    logout(request)
    return HttpResponse("bye")


def denied(_: Any) -> HttpResponse:
    raise PermissionDenied("patient 4711")


def defect(_: Any) -> HttpResponse:
    raise LookupError("patient 4711")


def stream(_: Any) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise LookupError("patient 4711")

    return StreamingHttpResponse(chunks())


async def slow(_: Any) -> HttpResponse:
    held.set()
    await asyncio.sleep(20)
    return HttpResponse("late")


async def stream_async(_: Any) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        held.set()
        await asyncio.sleep(20)

    return StreamingHttpResponse(chunks())


def healthz(_: Any) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [
    path("patients/<id>", patient),
    path("async/patients/<id>", patient_async),
    path("sign-in", sign_in),
    path("sign-out", sign_out),
    path("denied", denied),
    path("for-users", login_required(healthz)),
    path("for-clerks", permission_required("clinic.view_patient", raise_exception=True)(healthz)),
    path("defect", defect),
    path("stream", stream),
    path("async/stream", stream_async),
    path("async/slow", slow),
    path("healthz", healthz),
]
