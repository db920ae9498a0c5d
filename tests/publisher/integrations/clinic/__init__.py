"""A Django project for the tests: its settings, models and views."""

from __future__ import annotations

from typing import Any

from sqlalchemy import make_url

from audit_trail_publisher.testing import CapturedTrail

trail = CapturedTrail("clinic")


def settings_for(url: str) -> dict[str, Any]:
    """The settings, with the database at `url` for events in a transaction, and another without an outbox."""
    at = make_url(url)
    return {
        "SECRET_KEY": "for tests",
        "ALLOWED_HOSTS": ["*"],
        "USE_TZ": True,
        "ROOT_URLCONF": "tests.publisher.integrations.clinic.urls",
        # Tables made at once take a third of the time of migrations.
        "MIGRATION_MODULES": dict.fromkeys(("auth", "contenttypes", "sessions")),
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "INSTALLED_APPS": [
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "audit_trail_publisher.django",
            "audit_trail_publisher.django.outbox",
            "tests.publisher.integrations.clinic",
        ],
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "audit_trail_publisher.django.middleware.AuditMiddleware",
        ],
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": at.database,
                "USER": at.username,
                "PASSWORD": at.password,
                "HOST": at.host or at.query.get("host"),
                "PORT": at.port,
            },
            "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        },
        "AUDIT_TRAIL": {
            "trail": "tests.publisher.integrations.clinic.trail",
            "proxies": ["127.0.0.1"],
            "skip": ["/healthz"],
            "bulk_rows": 3,
        },
    }
