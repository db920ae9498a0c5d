"""The routes of reviews: the list, one review, one item with its forms, and the viewer's items one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard import links
from dashboard.detection import review_item, review_page
from dashboard.detection.review_item import item_page, next_link, no_items
from dashboard.detection.reviews import LISTS, MINE, PAGE, PATH, REVIEWS, USUAL, review_list
from dashboard.detection.words import FormResult
from dashboard.render import View
from dashboard.viewer import Viewer
from domain.errors import ConflictError, InvalidEventError, Reason, RejectedError
from domain.reviews.commands import (
    MAX_ITEMS,
    CloseReview,
    DecideItem,
    ReassignItem,
    ReviewBody,
    ReviewVerdict,
)
from queries.cursors import decode_item_cursor, decode_place_cursor
from queries.detection.read_models import PROJECTION
from queries.detection.results import BEGIN
from queries.detection.review_results import (
    ReviewFilter,
    ReviewItemDetail,
    ReviewItemFilter,
    ReviewState,
    ReviewView,
)
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

_NO_REVIEW = "There is no review with this id, or you may not see it."
_NO_ITEM = "There is no such item, or you may not see it."
_REVIEW = f"{PATH}/{{id:uuid}}"
_ITEM = f"{_REVIEW}/items/{{item}}"
_OPEN = 100
"""Open reviews in which a viewer's next item is looked for."""
_UNDECIDED = ReviewItemFilter(mine=True, decided=False)


class _NextItem(NamedTuple):
    """An item of the viewer that is not decided, and how many there are."""

    review: ReviewView
    item: int
    left: int


class ReviewPages:
    """The pages of one application."""

    def __init__(self, host: Host, forms: CommandForms) -> None:
        self._host = host
        self._forms = forms

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(PATH, self.reviews, methods=["GET"]),
            Route(MINE, self.own_items, methods=["GET"]),
            Route(_REVIEW, self.review, methods=["GET"]),
            Route(f"{_REVIEW}/close", self.close, methods=["POST"]),
            Route(_ITEM, self.item, methods=["GET"]),
            *(Route(f"{_ITEM}/{form}", self._change(form), methods=["POST"]) for form in review_item.FORMS),
        ]

    async def reviews(self, request: Request) -> Response:
        """The list."""
        refuse_repeated(request)
        viewer, models = await self._host.reader_of(request)
        name = request.query_params.get("list") or USUAL
        if name not in LISTS:
            raise RejectedError(Reason.INVALID_FIELD, "no such list", field="list")
        given = request.query_params.get("after")
        after = decode_place_cursor(given, REVIEWS) if given else BEGIN
        page = await self._host.threads.run(models.reviews, LISTS[name].filter, PAGE, after)
        return await self._host.shown(request, review_list(page, viewer, name, older=after is not BEGIN))

    async def review(self, request: Request) -> Response:
        """One review."""
        viewer, models = await self._host.reader_of(request)
        return await self._review_page(request, viewer, models)

    async def close(self, request: Request) -> Response:
        """Close a review."""
        viewer, models = await self._host.reader_of(request)
        form = await form_of(request)
        command, review = command_of(form), request.path_params["id"]
        try:
            body = CloseReview(reason=text_of(form, "reason"))
            query = await self._forms.give_review(request, viewer, command, review, body)
        except RejectedError as exc:
            result = FormResult(refusal(exc), typed(form, "close"))
            return await self._review_page(request, viewer, models, result, _status(exc))
        return self._host.to(f"{links.review(str(review))}{query}")

    async def item(self, request: Request) -> Response:
        """One item."""
        viewer, models = await self._host.reader_of(request)
        return await self._item_page(request, viewer, models)

    async def own_items(self, request: Request) -> Response:
        """The viewer's next item."""
        refuse_repeated(request)
        viewer, models = await self._host.reader_of(request)
        review, after = _place_of(request)
        found = await self._host.threads.run(_next_item, models, review, after)
        position = (await self._host.threads.run(models.positions)).get(PROJECTION, -1)
        said = await self._forms.said(request, viewer, position)
        if found is None:
            return await self._host.shown(request, no_items(position, viewer, said))
        result = None if said is None else FormResult(said)

        def build() -> View | None:
            item = models.review_item(found.review.review_id, found.item)
            return None if item is None else item_page(found.review, item, viewer, result, left=found.left)

        return await self._host.found(request, await self._host.threads.run(build), _NO_ITEM)

    def _change(self, name: str) -> Callable[[Request], object]:
        async def change(request: Request) -> Response:
            viewer, models = await self._host.reader_of(request)
            form = await form_of(request)
            command, review, item = command_of(form), request.path_params["id"], _number_of(request)
            if item is None:
                return self._host.not_found(request, _NO_ITEM)
            try:
                body = _BODIES[name](item, form, viewer)
                query = await self._forms.give_review(request, viewer, command, review, body)
            except RejectedError as exc:
                result = FormResult(refusal(exc), typed(form, name))
                return await self._item_page(request, viewer, models, result, _status(exc))
            if form.get("then") == "mine":
                return self._host.to(f"{next_link(str(review), item)}{query.replace('?', '&')}")
            return self._host.to(f"{links.review_item(str(review), item)}{query}")

        return change

    async def _review_page(
        self,
        request: Request,
        viewer: Viewer,
        models: ScopedModels,
        result: FormResult | None = None,
        status: int = 200,
    ) -> Response:
        id, given = str(request.path_params["id"]), request.query_params
        name, reviewer = given.get("list") or review_page.USUAL, given.get("reviewer", "").strip()
        filter = review_page.item_filter(name, reviewer)
        if filter is None:
            raise RejectedError(Reason.INVALID_FIELD, "no such list", field="list")
        after = decode_item_cursor(given["after"], id) if given.get("after") else 0
        detail = await self._host.threads.run(models.review, id)
        page = await self._host.threads.run(models.review_items, id, filter, review_page.PAGE, after)
        if detail is None or page is None:
            return self._host.not_found(request, _NO_REVIEW)
        said = await self._forms.said(request, viewer, detail.as_of_position)
        if result is None and said is not None:
            result = FormResult(said)
        view = review_page.review_page(detail, page, viewer, (name, reviewer, after), result)
        return await self._host.shown(request, view, status)

    async def _item_page(
        self,
        request: Request,
        viewer: Viewer,
        models: ScopedModels,
        result: FormResult | None = None,
        status: int = 200,
    ) -> Response:
        id, number = str(request.path_params["id"]), _number_of(request)
        found = None if number is None else await self._host.threads.run(_item_of, models, id, number)
        if found is None:
            return self._host.not_found(request, _NO_ITEM)
        review, item = found
        said = await self._forms.said(request, viewer, item.as_of_position)
        if result is None and said is not None:
            result = FormResult(said)
        return await self._host.shown(request, item_page(review, item, viewer, result), status)


def _next_item(models: ScopedModels, review: str | None, after: int) -> _NextItem | None:
    """The viewer's next item: after this one, else the first one of the review that is due first."""
    page = models.reviews(ReviewFilter(state=ReviewState.OPEN, mine=True), _OPEN)
    left = [each for each in page.reviews if each.own_decided < each.own_items]
    left.sort(key=lambda each: (each.review_id != review, each.due_at, each.begun_position))
    for each in left:
        for begin in (after, 0) if each.review_id == review and after else (0,):
            items = models.review_items(each.review_id, _UNDECIDED, 1, begin)
            if items is not None and items.items:
                number = sum(one.own_items - one.own_decided for one in left)
                return _NextItem(each, items.items[0].item, number)
    return None


def _item_of(models: ScopedModels, id: str, number: int) -> tuple[ReviewView, ReviewItemDetail] | None:
    item = models.review_item(id, number)
    detail = None if item is None else models.review(id)
    return None if item is None or detail is None else (detail.review, item)


def _number_of(request: Request) -> int | None:
    text = request.path_params["item"]
    return int(text) if _is_number(text) and 1 <= int(text) <= MAX_ITEMS else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9


def _place_of(request: Request) -> tuple[str | None, int]:
    given = request.query_params
    after = given.get("after", "0")
    if not _is_number(after):
        raise RejectedError(Reason.INVALID_FIELD, "not the number of an item", field="after")
    return given.get("review"), int(after)


def _status(exc: RejectedError) -> int:
    return 409 if isinstance(exc, ConflictError) else 400


def _decide(item: int, form: dict[str, str], _: Viewer) -> ReviewBody:
    verdict = form.get("verdict", "")
    if verdict not in set(ReviewVerdict):
        raise InvalidEventError(Reason.INVALID_FIELD, "choose what it was", field="verdict")
    return DecideItem(
        item=item,
        verdict=ReviewVerdict(verdict),
        reason=text_of(form, "reason"),
        seconds=seconds_of(form),
    )


def _reassign(item: int, form: dict[str, str], viewer: Viewer) -> ReviewBody:
    reviewer = person_of(text_of(form, "reviewer"), viewer)
    return ReassignItem(item=item, reviewer=reviewer, reason=text_of(form, "reason"))


_BODIES: Mapping[str, Callable[[int, dict[str, str], Viewer], ReviewBody]] = {
    "decide": _decide,
    "reassign": _reassign,
}
