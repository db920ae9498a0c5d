"""The routes of rules: those that count now with suppressions and explained accesses, and one rule."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.detection.rules import NEWEST, PATH, RANGES, USUAL_DAYS, rule_overview, rule_page
from dashboard.detection.words import Said
from dashboard.render import View
from dashboard.viewer import Viewer
from domain.cases.commands import EndSuppression
from domain.errors import ConflictError, Reason, RejectedError
from queries.detection.read_models import PROJECTION
from queries.detection.results import AlertFilter
from queries.scoped.read_models import ScopedModels
from web.dashboard.case_commands import CommandForms, command_of, refusal, text_of
from web.dashboard.host import Host, form_of

_SUPPRESSIONS = 100
"""Suppressions of the page."""
_NO_RULE = "No rule with this id counts now, and none has raised an alert."


class RulePages:
    """The pages of one application."""

    def __init__(self, host: Host, forms: CommandForms) -> None:
        self._host = host
        self._forms = forms

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(PATH, self.rules, methods=["GET"]),
            Route(f"{PATH}/{{id}}", self.rule, methods=["GET"]),
            Route("/suppressions/{id:uuid}/end", self.end, methods=["POST"]),
        ]

    async def rules(self, request: Request) -> Response:
        """The rules that count now."""
        viewer, models = await self._host.reader_of(request)
        return await self._page(request, viewer, models)

    async def rule(self, request: Request) -> Response:
        """One rule."""
        viewer, models = await self._host.reader_of(request)
        id = request.path_params["id"]

        def build() -> View | None:
            alerts = models.alerts(AlertFilter(rule_id=id), NEWEST)
            return rule_page(id, models.detection_rule(id), alerts, viewer)

        return await self._host.found(request, await self._host.threads.run(build), _NO_RULE)

    async def end(self, request: Request) -> Response:
        """End a suppression before it expires."""
        viewer, models = await self._host.reader_of(request)
        form = await form_of(request)
        command = command_of(form)
        try:
            body = EndSuppression(reason=text_of(form, "reason"))
            query = await self._forms.give(request, viewer, command, request.path_params["id"], body)
        except RejectedError as exc:
            status = 409 if isinstance(exc, ConflictError) else 400
            return await self._page(request, viewer, models, refusal(exc), status)
        return self._host.to(f"{PATH}{query}#suppressions")

    async def _page(
        self,
        request: Request,
        viewer: Viewer,
        models: ScopedModels,
        said: Said | None = None,
        status: int = 200,
    ) -> Response:
        days = _days(request)
        position = (await self._host.threads.run(models.positions)).get(PROJECTION, -1)
        said = said or await self._forms.said(request, viewer, position)

        def build() -> View:
            explained = models.explained_accesses(viewer.now - timedelta(days=days), viewer.now)
            suppressions = models.suppressions(_SUPPRESSIONS, active=True).suppressions
            return rule_overview(models.detection_rules(), suppressions, explained, viewer, days, said)

        return await self._host.shown(request, await self._host.threads.run(build), status)


def _days(request: Request) -> int:
    given = request.query_params.get("days")
    if given is None:
        return USUAL_DAYS
    if given not in {str(each) for each in RANGES}:
        raise RejectedError(
            Reason.INVALID_FIELD, f"choose one of {', '.join(str(each) for each in RANGES)}", field="days"
        )
    return int(given)
