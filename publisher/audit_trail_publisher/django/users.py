"""Who made a Django request."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.utils.functional import LazyObject, empty

from audit_trail_publisher import event_text
from audit_trail_publisher.django.settings import actor_function
from audit_trail_publisher.generated.event import Actor
from audit_trail_publisher.web.identity import Identity, identity_of

_USER = "_audit_trail_user"


def actor_of(user: Any) -> Actor:
    """The actor for a user: the user name and the full name. Roles are the project's own: see the setting `actor`."""
    full_name = getattr(user, "get_full_name", str)()
    return Actor(id=event_text.identifier(user.get_username()), name=event_text.name(full_name))


def identity_of_user(request: Any, user: Any) -> Identity | None:
    """The identity of a user who is signed in; None for anybody else."""
    if not getattr(user, "is_authenticated", False):
        return None
    identity = identity_of(actor_function()(user))
    return None if identity is None else Identity(identity.actor, identity.session or session_of(request))


def remember_user(request: Any, user: Any) -> None:
    """Keep the user with whom the request came: a sign-out leaves none."""
    setattr(request, _USER, user)


def identity_of_request(request: Any) -> Identity | None:
    """The identity of the user whom the request has now, as after a sign-in, else of the one with whom it came."""
    now = None if _is_unread(request) else getattr(request, "user", None)
    return identity_of_user(request, now) or identity_of_user(request, getattr(request, _USER, None))


def may_have_user(request: Any) -> bool:
    """Whether to find out the user: without a session cookie that would only add `Vary: Cookie` to a public page."""
    return hasattr(request, "user") and (
        not _is_unread(request) or settings.SESSION_COOKIE_NAME in request.COOKIES
    )


def _is_unread(request: Any) -> bool:
    user = getattr(request, "user", None)
    return isinstance(user, LazyObject) and user._wrapped is empty


def session_of(request: Any) -> str | None:
    """A digest of the session's key, which is itself a secret: who has it is signed in."""
    key = getattr(getattr(request, "session", None), "session_key", None)
    return hashlib.sha256(key.encode()).hexdigest()[:32] if key else None
