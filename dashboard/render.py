"""Pages from templates. A page is a frozen view; its class names the template, which gets nothing but the view."""

from __future__ import annotations

from typing import Any, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct

from dashboard.texts import number, size, title
from dashboard.viewer import Viewer


class Page(Struct, frozen=True, kw_only=True):
    """What one page shows. `base` is the prefix of public paths.

    `live_template` is the part that a page which is open fetches again and again.
    """

    template: ClassVar[str]
    live_template: ClassVar[str] = "nothing.html"
    title: str
    base: str = ""


class View(Page, frozen=True, kw_only=True):
    """What one page shows to somebody."""

    viewer: Viewer


_ENVIRONMENT = Environment(
    loader=PackageLoader("dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {"number": number, "size": size, "as_title": title}


def render(view: Page, *, live: bool = False) -> bytes:
    """The HTML of a page, or of its live part alone."""
    template = _ENVIRONMENT.get_template(view.live_template if live else view.template)
    names: dict[str, Any] = {"view": view, "viewer": getattr(view, "viewer", None)}
    return template.render(names).encode()
