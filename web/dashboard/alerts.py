"""The routes of alerts: the list, how many came since, one alert, and its two forms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard import links
from dashboard.detection.alert_page import MOST_DAYS, alert_page
from dashboard.detection.alerts import (
    ALERTS,
    EMPTY,
    PAGE,
    PATH,
    STATES,
    AskedAlerts,
    alert_list,
    alert_news,
)
from dashboard.detection.words import FormResult
from dashboard.explorer.ranges import moment_of
from dashboard.render import View
from dashboard.viewer import Viewer
from domain.alert_level import Level
from domain.cases.commands import OpenCase, Suppress
from domain.errors import ConflictError, InvalidEventError, Reason, RejectedError
from queries.cursors import decode_place_cursor
from queries.detection.read_models import PROJECTION
from queries.detection.results import BEGIN, AlertFilter, AlertView
from queries.scoped.read_models import ScopedModels
from web.dashboard.case_commands import (
    CommandForms,
    command_of,
    person_of,
    refusal,
    target_of,
    text_of,
    typed,
)
from web.dashboard.host import Host, form_of, is_live
from web.dashboard.live_counts import LiveCounts
from web.parameters.filter_query import refuse_repeated
from web.read_audit.access_record import access_record_of

_NO_ALERT = "There is no alert with this id, or you may not see it."


class AlertPages:
    """The pages of one application."""

    def __init__(self, host: Host, forms: CommandForms) -> None:
        self._host = host
        self._forms = forms
        self._live = LiveCounts()

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(PATH, self.alerts, methods=["GET"]),
            Route(f"{PATH}/{{id}}", self.alert, methods=["GET"]),
            Route(f"{PATH}/{{id}}/case", self.open_case, methods=["POST"]),
            Route(f"{PATH}/{{id}}/suppress", self.suppress, methods=["POST"]),
        ]

    async def alerts(self, request: Request) -> Response:
        """The list, or how many alerts came since it was made."""
        refuse_repeated(request)
        viewer, models = await self._host.reader_of(request)
        asked = _asked(request)
        filter = _filter(asked, viewer)
        after = decode_place_cursor(asked.after, ALERTS) if asked.after else BEGIN
        if is_live(request):
            shown = request.query_params.get("newest", EMPTY)
            newest = None if shown == EMPTY else decode_place_cursor(shown, ALERTS)
            found = await self._host.threads.run(models.alerts, filter, PAGE)
            await self._live.record(access_record_of(request), viewer)
            return await self._host.shown(request, alert_news(found, newest, viewer, asked))
        page = await self._host.threads.run(models.alerts, filter, PAGE, after)
        return await self._host.shown(request, alert_list(page, viewer, asked))

    async def alert(self, request: Request) -> Response:
        """One alert."""
        viewer, models = await self._host.reader_of(request)
        return await self._page(request, viewer, models)

    async def open_case(self, request: Request) -> Response:
        """Open a case by hand, for an alert that is in none."""
        viewer, models = await self._host.reader_of(request)
        form = await form_of(request)
        alert = await self._host.threads.run(models.alert, request.path_params["id"])
        if alert is None:
            return self._host.not_found(request, _NO_ALERT)
        command = command_of(form)
        case = target_of(command)
        try:
            if alert.actor is None:
                raise ConflictError(Reason.CONFLICT, "this alert is about no single actor")
            body = OpenCase(
                actor=alert.actor, title=alert.title, level=alert.level, reason=text_of(form, "reason")
            )
            query = await self._forms.give(request, viewer, command, case, body)
        except RejectedError as exc:
            return await self._refused(request, viewer, models, exc, typed(form, "open"))
        return self._host.to(f"{links.case(str(case))}{query}")

    async def suppress(self, request: Request) -> Response:
        """Suppress alerts like this one."""
        viewer, models = await self._host.reader_of(request)
        form = await form_of(request)
        alert = await self._host.threads.run(models.alert, request.path_params["id"])
        if alert is None:
            return self._host.not_found(request, _NO_ALERT)
        command = command_of(form)
        try:
            body = _suppression(alert, form, viewer)
            query = await self._forms.give(request, viewer, command, target_of(command), body)
        except RejectedError as exc:
            return await self._refused(request, viewer, models, exc, typed(form, "suppress"))
        return self._host.to(f"/rules{query}#suppressions")

    async def _refused(
        self,
        request: Request,
        viewer: Viewer,
        models: ScopedModels,
        exc: RejectedError,
        typed: Mapping[str, str],
    ) -> Response:
        status = 409 if isinstance(exc, ConflictError) else 400
        return await self._page(request, viewer, models, FormResult(refusal(exc), typed), status)

    async def _page(
        self,
        request: Request,
        viewer: Viewer,
        models: ScopedModels,
        result: FormResult | None = None,
        status: int = 200,
    ) -> Response:
        id = request.path_params["id"]

        def build() -> View | None:
            found = models.alert(id)
            if found is None:
                return None
            evidence = models.alert_events(id) or []
            return alert_page(found, evidence, models.positions().get(PROJECTION, -1), viewer, result)

        view = await self._host.threads.run(build)
        if view is None:
            return self._host.not_found(request, _NO_ALERT)
        return await self._host.shown(request, view, status)


def _asked(request: Request) -> AskedAlerts:
    given = {name: text.strip() for name, text in request.query_params.items()}
    return AskedAlerts(
        level=given.get("level", ""),
        state=given.get("state", ""),
        actor=given.get("actor", ""),
        rule=given.get("rule", ""),
        case=given.get("case", ""),
        from_text=given.get("from", ""),
        to_text=given.get("to", ""),
        after=given.get("after", ""),
    )


def _filter(asked: AskedAlerts, viewer: Viewer) -> AlertFilter:
    """The conditions. Raises `RejectedError` that names the parameter."""
    if asked.level and asked.level not in set(Level):
        raise RejectedError(Reason.INVALID_FIELD, "no such level", field="level")
    if asked.state and asked.state not in STATES:
        raise RejectedError(Reason.INVALID_FIELD, "no such state", field="state")
    state = STATES.get(asked.state)
    return AlertFilter(
        level=Level(asked.level) if asked.level else None,
        rule_id=asked.rule or None,
        case_id=asked.case or None,
        actor=asked.actor or None,
        handling=None if state is None else state.handling,
        suppressed=None if state is None else state.suppressed,
        since=moment_of("from", asked.from_text, viewer, ends=False) if asked.from_text else None,
        until=moment_of("to", asked.to_text, viewer, ends=True) if asked.to_text else None,
    )


def _suppression(alert: AlertView, form: dict[str, str], viewer: Viewer) -> Suppress:
    """The command, about the values of the alert's own group that were chosen. Raises `RejectedError`."""
    days = form.get("days", "")
    if not (days.isascii() and days.isdigit() and len(days) < 4 and 1 <= int(days) <= MOST_DAYS):
        raise InvalidEventError(Reason.INVALID_FIELD, f"write a number from 1 to {MOST_DAYS}", field="days")
    owner = text_of(form, "owner")
    match = {
        each.name: each.value
        for index, each in enumerate(alert.group)
        if f"match.{index}" in form and each.value is not None
    }
    return Suppress(
        rule_id=UUID(alert.rule_id),
        owner=person_of(owner, viewer),
        reason=text_of(form, "reason"),
        # The end of a day, so that a form that is sent twice says the same twice.
        expires_at=viewer.end_of(viewer.today() + timedelta(days=int(days) - 1)),
        match=match,
    )
