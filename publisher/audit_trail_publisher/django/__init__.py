"""Django 5.2 or newer: records requests, sign-ins and the rows of models.

::

    INSTALLED_APPS = [..., "audit_trail_publisher.django", "audit_trail_publisher.django.outbox"]
    MIDDLEWARE = [..., "django.contrib.auth.middleware.AuthenticationMiddleware",
                  "audit_trail_publisher.django.middleware.AuditMiddleware"]
    AUDIT_TRAIL = {"trail": "clinic.audit.trail", "proxies": ["10.0.0.0/8"], "skip": ["/healthz"]}

`audit_trail_publisher.django.outbox` is the table for events in the transaction of the change; without it, events of
models are recorded after the commit.
"""
