"""Checks the attributes that lead from a watched model to its patient: a misspelt one would fail with a save."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

_waiting: list[tuple[type[Any], str]] = []


def check(model: type[Any], path: str) -> None:
    """Raise `ImproperlyConfigured` for an attribute that a model does not have, as far as fields tell the models.

    Until all models are loaded, related ones are not known: then `check_waiting` does it.
    """
    if not apps.models_ready:
        _waiting.append((model, path))
        return
    at: Any = model
    for name in path.split("."):
        if not hasattr(at, name):
            raise ImproperlyConfigured(f"{at.__name__} has no attribute {name}, which `patient` names")
        field = next((each for each in at._meta.get_fields() if each.name == name), None)
        at = getattr(field, "related_model", None)
        if at is None:
            return


def check_waiting() -> None:
    """All models are loaded."""
    while _waiting:
        check(*_waiting.pop())
