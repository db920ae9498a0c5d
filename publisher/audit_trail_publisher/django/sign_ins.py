"""Sign-ins, sign-outs and failed sign-ins of Django users."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from audit_trail_publisher import event_text
from audit_trail_publisher.building import UNKNOWN_ACTOR
from audit_trail_publisher.django.settings import current_trail, load
from audit_trail_publisher.django.users import identity_of_user
from audit_trail_publisher.generated.event import Actor
from audit_trail_publisher.web.request_record import identify


def connect() -> None:
    """Listen to the signals of `django.contrib.auth`. Calling it again does nothing."""
    user_logged_in.connect(_signed_in, dispatch_uid="audit_trail")
    user_logged_out.connect(_signed_out, dispatch_uid="audit_trail")
    user_login_failed.connect(_failed, dispatch_uid="audit_trail")


def _signed_in(request: Any = None, user: Any = None, **_: Any) -> None:
    identity = identity_of_user(request, user)
    if identity is not None:
        identify(identity)
        current_trail().durable.user.logged_in(actor=identity.actor, **_session(identity.session))


def _signed_out(request: Any = None, user: Any = None, **_: Any) -> None:
    identity = identity_of_user(request, user)
    if identity is not None:
        current_trail().durable.user.logged_out(actor=identity.actor, **_session(identity.session))


def _failed(credentials: Any = None, **_: Any) -> None:
    model = get_user_model()
    name = event_text.identifier(str((credentials or {}).get(model.USERNAME_FIELD) or ""))
    known = name is not None and (load().unknown_names or _exists(model, name))
    current_trail().durable.user.login_failed(actor=Actor(id=name) if known else UNKNOWN_ACTOR)


def _exists(model: Any, name: str) -> bool:
    return bool(model._default_manager.filter(**{model.USERNAME_FIELD: name}).exists())


def _session(session: str | None) -> dict[str, Any]:
    return {"session": session} if session else {}
