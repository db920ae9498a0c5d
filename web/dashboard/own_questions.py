"""The routes of the questions to the employee who looks: the page, and the answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.detection.questions import PATH, my_questions
from dashboard.detection.words import Said
from dashboard.viewer import Viewer
from domain.cases.commands import AnswerQuestion
from domain.errors import ConflictError, RejectedError
from queries.detection.read_models import PROJECTION
from queries.scoped.read_models import ScopedModels
from web.dashboard.case_commands import CommandForms, command_of, refusal, text_of
from web.dashboard.host import Host, form_of

_ANSWERED = "Your answer is recorded."


class OwnQuestionPages:
    """The pages of one application."""

    def __init__(self, host: Host, forms: CommandForms) -> None:
        self._host = host
        self._forms = forms

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(PATH, self.questions, methods=["GET"]),
            Route(f"{PATH}/{{id:uuid}}", self.answer, methods=["POST"]),
        ]

    async def questions(self, request: Request) -> Response:
        """The open questions."""
        viewer, models = await self._host.reader_of(request)
        said = Said(_ANSWERED) if "answered" in request.query_params else None
        return await self._page(request, viewer, models, said)

    async def answer(self, request: Request) -> Response:
        """Answer a question."""
        viewer, models = await self._host.reader_of(request)
        form = await form_of(request)
        command, case = command_of(form), request.path_params["id"]
        try:
            answer = text_of(form, "answer")
            query = await self._forms.give(request, viewer, command, case, AnswerQuestion(answer=answer))
        except RejectedError as exc:
            status = 409 if isinstance(exc, ConflictError) else 400
            typed = {str(case): form.get("answer", "")}
            return await self._page(request, viewer, models, refusal(exc), typed, status)
        return self._host.to(f"{PATH}{query or '?answered'}")

    async def _page(
        self,
        request: Request,
        viewer: Viewer,
        models: ScopedModels,
        said: Said | None = None,
        typed: dict[str, str] | None = None,
        status: int = 200,
    ) -> Response:
        found = await self._host.threads.run(models.own_questions)
        position = (await self._host.threads.run(models.positions)).get(PROJECTION, -1)
        said = said or await self._forms.said(request, viewer, position)
        return await self._host.shown(request, my_questions(found, position, viewer, said, typed), status)
