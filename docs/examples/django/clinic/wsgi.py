"""The application for a WSGI server. The trail starts here, and not for commands such as `migrate`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")
application = get_wsgi_application()


from audit_trail_publisher.sigterm import exit_on_sigterm  # noqa: E402 - Django's settings come first
from clinic.audit import trail  # noqa: E402

trail.start()
exit_on_sigterm()
