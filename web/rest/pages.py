"""Common to the lists of `/v1`: how many rows a page has, and the link to the next one."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Request

from domain.errors import Reason, RejectedError
from web.http.path_prefix import public

DEFAULT_PAGE = 50


def page_size(wanted: int | None, most: int, name: str = "first") -> int:
    """The rows of a page, `DEFAULT_PAGE` when absent. Raises `RejectedError` that names the parameter above `most`."""
    size = min(DEFAULT_PAGE, most) if wanted is None else wanted
    if size > most:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {most}; follow the links", field=name)
    return size


def page_link(request: Request, **paging: object) -> str:
    """The same query with other values of `paging`; a parameter that is None is left out.

    The path is as it was sent: an id may hold an encoded slash. The link has no scheme and no host: a proxy may have
    changed them.
    """
    kept = [pair for pair in request.query_params.multi_items() if pair[0] not in paging]
    given = [(name, value) for name, value in paging.items() if value is not None]
    path = request.scope["raw_path"].decode("ascii") if "raw_path" in request.scope else request.url.path
    return public(request, f"{path}?{urlencode([*kept, *given])}")
