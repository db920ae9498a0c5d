"""The settings of the project; those for the audit trail are at the end."""

from __future__ import annotations

import os

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "clinic.urls"
WSGI_APPLICATION = "clinic.wsgi.application"
USE_TZ = True
LOGIN_URL = "/sign-in"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "ATOMIC_REQUESTS": True,
        **{
            key: os.environ.get(f"DATABASE_{key}", "") for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")
        },
    }
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "audit_trail_publisher.django",
    "audit_trail_publisher.django.outbox",
    "clinic",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "audit_trail_publisher.django.middleware.AuditMiddleware",
]

AUDIT_TRAIL = {
    "trail": "clinic.audit.trail",
    "actor": "clinic.audit.actor_of",
    "proxies": ["127.0.0.1", "10.0.0.0/8"],
    "skip": ["/healthz"],
}
