"""The routes of cases: the work list, one case with its forms, and the questions to the employee who looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard import links
from dashboard.detection.case_page import FORMS, case_page
from dashboard.detection.cases import CASES, LISTS, PAGE, PATH, USUAL, case_list, filter_of
from dashboard.detection.words import FormResult
from dashboard.viewer import Viewer
from domain.cases.commands import AskEmployee, Assign, Body, Comment, Decide, Reopen, Verdict
from domain.errors import ConflictError, InvalidEventError, Reason, RejectedError
from queries.cursors import decode_place_cursor
from queries.detection.results import BEGIN
from queries.scoped.read_models import ScopedModels
from web.dashboard.case_commands import (
    CommandForms,
    command_of,
    person_of,
    refusal,
    seconds_of,
    text_of,
    typed,
)
from web.dashboard.host import Host, form_of
from web.parameters.filter_query import refuse_repeated

ENTRIES = 1000
"""Entries, and alerts, of the page of a case."""
_NO_CASE = "There is no case with this id, or you may not see it."


class CasePages:
    """The pages of one application."""

    def __init__(self, host: Host, forms: CommandForms) -> None:
        self._host = host
        self._forms = forms

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(PATH, self.cases, methods=["GET"]),
            Route(f"{PATH}/{{id}}", self.case, methods=["GET"]),
            *(Route(f"{PATH}/{{id}}/{form}", self._change(form), methods=["POST"]) for form in FORMS),
        ]

    async def cases(self, request: Request) -> Response:
        """The work list."""
        refuse_repeated(request)
        viewer, models = await self._host.reader_of(request)
        given = request.query_params
        name, actor = given.get("list") or USUAL, given.get("actor", "").strip()
        if name not in LISTS:
            raise RejectedError(Reason.INVALID_FIELD, "no such list", field="list")
        after = decode_place_cursor(given["after"], CASES) if given.get("after") else BEGIN
        page = await self._host.threads.run(models.cases, filter_of(name, actor, viewer), PAGE, after)
        view = case_list(page, viewer, name, actor, older=after is not BEGIN)
        return await self._host.shown(request, view)

    async def case(self, request: Request) -> Response:
        """One case."""
        viewer, models = await self._host.reader_of(request)
        return await self._page(request, viewer, models)

    def _change(self, name: str) -> Callable[[Request], object]:
        async def change(request: Request) -> Response:
            viewer, models = await self._host.reader_of(request)
            form = await form_of(request)
            id = request.path_params["id"]
            command, case = command_of(form), _case_id(id)
            if case is None:
                return self._host.not_found(request, _NO_CASE)
            try:
                query = await self._forms.give(request, viewer, command, case, _BODIES[name](form, viewer))
            except RejectedError as exc:
                status = 409 if isinstance(exc, ConflictError) else 400
                result = FormResult(refusal(exc), typed(form, name))
                return await self._page(request, viewer, models, result, status)
            return self._host.to(f"{links.case(id)}{query}")

        return change

    async def _page(
        self,
        request: Request,
        viewer: Viewer,
        models: ScopedModels,
        result: FormResult | None = None,
        status: int = 200,
    ) -> Response:
        found = await self._host.threads.run(models.case, request.path_params["id"], ENTRIES)
        said = await self._forms.said(request, viewer, -1 if found is None else found.as_of_position)
        if found is None:
            if said is not None and not said.problem:
                return self._host.notice(request, 200, "The case is being opened", said.text)
            return self._host.not_found(request, _NO_CASE)
        if result is None and said is not None:
            result = FormResult(said)
        return await self._host.shown(request, case_page(found, viewer, result), status)


def _case_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _assign(form: dict[str, str], viewer: Viewer) -> Body:
    reason = form.get("reason", "").strip()
    return Assign(assignee=person_of(text_of(form, "assignee"), viewer), reason=reason)


def _comment(form: dict[str, str], _: Viewer) -> Body:
    return Comment(text=text_of(form, "text"))


def _ask(form: dict[str, str], viewer: Viewer) -> Body:
    employee = person_of(text_of(form, "employee"), viewer)
    return AskEmployee(employee=employee, question=text_of(form, "question"))


def _decide(form: dict[str, str], _: Viewer) -> Body:
    verdict = form.get("verdict", "")
    if verdict not in set(Verdict):
        raise InvalidEventError(Reason.INVALID_FIELD, "choose what it was", field="verdict")
    return Decide(verdict=Verdict(verdict), reason=text_of(form, "reason"), seconds=seconds_of(form))


def _reopen(form: dict[str, str], _: Viewer) -> Body:
    return Reopen(reason=text_of(form, "reason"))


_BODIES: Mapping[str, Callable[[dict[str, str], Viewer], Body]] = {
    "assign": _assign,
    "comment": _comment,
    "ask": _ask,
    "decide": _decide,
    "reopen": _reopen,
}
