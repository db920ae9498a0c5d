"""The application for an ASGI server: ``uvicorn clinic.asgi:application``."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")
django_application = get_asgi_application()


from audit_trail_publisher.web.lifespan import Lifespan  # noqa: E402 - Django's settings come first
from clinic.audit import trail  # noqa: E402

application = Lifespan(django_application, trail)
