"""The project's trail."""

from __future__ import annotations

import os
from typing import Any

from audit_trail_publisher import Actor, Publisher
from audit_trail_publisher.django.outbox.writer import django_outbox
from audit_trail_publisher.transports.http import token_from_file

trail = Publisher(
    "clinic",
    url=os.environ["AUDIT_URL"],
    token=token_from_file(os.environ["AUDIT_TOKEN_FILE"]),
    spool=os.environ["AUDIT_SPOOL"],
    outbox=django_outbox(),
)


def actor_of(user: Any) -> Actor:
    """The actor for a user of Django."""
    roles = ("administrator",) if user.is_superuser else ()
    return Actor(id=user.get_username(), name=user.get_full_name() or None, roles=roles)
