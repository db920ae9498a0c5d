"""The setting `AUDIT_TRAIL` of a Django project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from msgspec import Struct

from audit_trail_publisher.trail import Trail
from audit_trail_publisher.web.client_address import X_FORWARDED_FOR
from audit_trail_publisher.web.request_record import OnUnrecorded, RequestOptions

NAME = "AUDIT_TRAIL"
OUTBOX = "audit_trail_outbox"


class AuditSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The entries of `AUDIT_TRAIL`.

    - `trail`: where the `Trail` is, as ``clinic.audit.trail``. It is imported when it is first needed.
    - `actor`: where the function is that makes an `Actor` of a user; by default `users.actor_of`.
    - `proxies`, `proxy_header`, `skip`, `on_unrecorded`: see `RequestOptions`.
    - `unknown_names`: record the name of a failed sign-in even if no user has it. People type passwords there.
    - `bulk_rows`: the most rows of a bulk operation that are recorded; of a larger one, none are written.
    """

    trail: str
    actor: str = "audit_trail_publisher.django.users.actor_of"
    proxies: tuple[str, ...] = ()
    proxy_header: str = X_FORWARDED_FOR
    skip: tuple[str, ...] = ()
    on_unrecorded: OnUnrecorded = "refuse"
    unknown_names: bool = False
    bulk_rows: int = 1000

    def request_options(self) -> RequestOptions:
        """The options of the middleware."""
        return {
            "proxies": self.proxies,
            "proxy_header": self.proxy_header,
            "skip": self.skip,
            "on_unrecorded": self.on_unrecorded,
        }


@lru_cache(maxsize=1)
def load() -> AuditSettings:
    """The settings. Raises `ImproperlyConfigured` for a missing, wrong or unknown entry."""
    given: Mapping[str, Any] | None = getattr(settings, NAME, None)
    if given is None:
        raise ImproperlyConfigured(f'set {NAME} = {{"trail": "your.module.trail"}}')
    try:
        return msgspec.convert(given, AuditSettings)
    except msgspec.ValidationError as exc:
        raise ImproperlyConfigured(f"{NAME}: {exc}") from exc


def current_trail() -> Trail:
    """The project's trail. Raises `ImproperlyConfigured` when the setting names something else."""
    trail = import_string(load().trail)
    if not isinstance(trail, Trail):
        raise ImproperlyConfigured(f"{NAME}: {load().trail} is no Trail")
    return trail


def actor_function() -> Callable[[Any], Any]:
    """The function that makes an actor of a user."""
    function: Callable[[Any], Any] = import_string(load().actor)
    return function


def has_outbox() -> bool:
    """Whether the project has the outbox table."""
    return bool(apps.is_installed("audit_trail_publisher.django.outbox"))
