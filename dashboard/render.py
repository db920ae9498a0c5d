"""Pages from templates. A page is a frozen view; its class names the template, which gets nothing but the view."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct

from dashboard.locales import PLAIN, Locale
from dashboard.texts import size, title
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


@lru_cache(maxsize=64)
def _environment(locale: Locale) -> Environment:
    """The templates for one locale.

    The filters format by the locale. They belong to the environment, because a macro that a template imports can use a
    filter, but does not see the variable `viewer`.
    """
    environment = Environment(
        loader=PackageLoader("dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"number": locale.number, "size": size, "as_title": title}
    return environment


def render(view: Page, *, live: bool = False) -> bytes:
    """The HTML of a page, or of its live part alone."""
    viewer: Viewer | None = getattr(view, "viewer", None)
    environment = _environment(PLAIN if viewer is None else viewer.locale)
    template = environment.get_template(view.live_template if live else view.template)
    names: dict[str, Any] = {"view": view, "viewer": viewer}
    return template.render(names).encode()
