"""The routes of patients, users, devices, services and resources, of the own activity, and of the search for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard import links
from dashboard.notices import Find
from dashboard.subjects.device import device_page
from dashboard.subjects.page import Subject
from dashboard.subjects.patient import patient_page
from dashboard.subjects.resource import resource_page
from dashboard.subjects.service import service_page
from dashboard.subjects.user import user_page
from domain.errors import Reason, RejectedError
from web.dashboard.host import Host

_NOTHING_OWN = "Nothing is recorded about you yet."
_SUBJECTS: dict[str, tuple[Callable[..., Subject | None], tuple[str, ...]]] = {
    "patients": (patient_page, ("from", "to")),
    "users": (user_page, ()),
    "services": (service_page, ()),
    "devices": (device_page, ("at", "compared")),
}
"""What makes a page from an id and the values of these parameters."""


class SubjectPages:
    """The pages of one application."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def routes(self) -> list[Route]:
        """The routes. An id that a path can't hold is in the query: see `dashboard.links.subject`."""
        return [
            Route("/resource", self.resource, methods=["GET"]),
            Route("/find", self.find, methods=["GET"]),
            Route("/me", self.me, methods=["GET"]),
            *(
                Route(path, self._subject(kind), methods=["GET"])
                for kind in _SUBJECTS
                for path in (f"/{kind}", f"/{kind}/{{id:any}}")
            ),
        ]

    async def resource(self, request: Request) -> Response:
        """The history of a resource."""
        viewer, models = await self._host.reader_of(request)
        given = (request.query_params.get(name, "") for name in ("type", "id", "field", "after"))
        view = await self._host.threads.run(resource_page, models, viewer, *given)
        return await self._host.found(request, view)

    def _subject(self, kind: str) -> Callable[[Request], Any]:
        make, names = _SUBJECTS[kind]

        async def show(request: Request) -> Response:
            viewer, models = await self._host.reader_of(request)
            id = _id_of(request, kind)
            given = (request.query_params.get(name, "") for name in names)
            view = await self._host.threads.run(make, models, viewer, id, *given)
            own = {"patients": viewer.scope.own_patients, "users": viewer.principal.actors}.get(kind, ())
            if view is None and id in own:
                return self._host.not_found(request, _NOTHING_OWN)
            return await self._host.found(request, view)

        return show

    async def me(self, request: Request) -> Response:
        """The own activity of a member of staff."""
        viewer = await self._host.viewer_of(request)
        actors = viewer.principal.actors or (viewer.principal.id,)
        return self._host.to(links.subject("user", actors[0]))

    async def find(self, request: Request) -> Response:
        """The form, or the page of the subject that it names."""
        kind, id = request.query_params.get("kind", ""), request.query_params.get("id", "")
        if kind in links.SUBJECTS and id:
            return self._host.to(links.subject(kind, id))
        viewer = await self._host.viewer_of(request)
        return await self._host.shown(request, Find(viewer=viewer, title="Find"))


def _id_of(request: Request, kind: str) -> str:
    """The id in the path, which may contain any letter, also an encoded slash; else that in the query."""
    id: str = request.path_params.get("id") or request.query_params.get("id", "")
    if not id:
        raise RejectedError(Reason.MISSING_FIELD, "give an id", field=kind.removesuffix("s"))
    return id
