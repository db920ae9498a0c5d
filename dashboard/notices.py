"""Pages that say something instead of showing data, and the search for a subject."""

from __future__ import annotations

from typing import ClassVar

from dashboard.render import View


class Notice(View, frozen=True, kw_only=True):
    """A title, a text, and what the reader can do. `signed_in`: there is a session, whose navigation is shown."""

    template: ClassVar[str] = "notice.html"
    text: str
    action: str = ""
    action_link: str = ""
    signed_in: bool = True


class Find(View, frozen=True, kw_only=True):
    """The form that leads to the page of a patient, user, device, service or resource."""

    template: ClassVar[str] = "find.html"
