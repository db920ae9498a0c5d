"""Common to the reading routes of `/v1`: freshness, entity tags and links."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from fastapi import Path, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from queries.freshness import DEFAULT_SECONDS, MAX_POSITION, MAX_SECONDS, Freshness
from web.parameters.schemas import NO_NUL

POSITION: Any = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_POSITION}, {"type": "null"}]}
MinPosition = Annotated[
    int | None,
    Field(
        description="Refuse (409) unless the answer is complete up to this position.",
        json_schema_extra=POSITION,
    ),
]
WaitForPosition = Annotated[
    int | None,
    Field(
        description="Wait until the answer is complete up to this position; refuse (409) when it is not in time.",
        json_schema_extra=POSITION,
    ),
]
WaitSeconds = Annotated[
    float | None,
    Field(
        allow_inf_nan=False,
        json_schema_extra={
            "anyOf": [{"type": "number", "minimum": 0, "maximum": MAX_SECONDS}, {"type": "null"}]
        },
        description=f"How long to wait, at most {MAX_SECONDS:.0f} seconds; {DEFAULT_SECONDS:.0f} when absent.",
    ),
]


def path_identifier(description: str, example: str) -> Any:
    """An identifier in a path."""
    return Path(
        description=description,
        max_length=256,
        examples=[example],
        json_schema_extra={"minLength": 1, "pattern": NO_NUL},
    )


Identifier = Annotated[str, path_identifier("The identifier, as events name it.", "17")]


def _switched(value: Any) -> Any:
    """Accept only `true` and `false`: pydantic accepts many more words, which the OpenAPI document does not name."""
    if isinstance(value, bool) or value in ("true", "false"):
        return value
    raise ValueError("write true or false")


Switch = Annotated[bool, BeforeValidator(_switched)]


class FreshnessQuery(BaseModel):
    """The freshness of an answer. An unknown parameter is an error."""

    model_config = ConfigDict(extra="forbid")

    min_position: MinPosition = None
    wait_for_position: WaitForPosition = None
    wait_seconds: WaitSeconds = None

    def freshness(self) -> Freshness:
        """The freshness that the client wants."""
        return Freshness(self.min_position, self.wait_for_position, self.wait_seconds)


def found(
    request: Request, value: msgspec.Struct, headers: Mapping[str, str] | None = None, *, changes: bool = True
) -> Response:
    """The answer as JSON, or 304 when the client already has it (RFC 9110, section 13.1.2).

    The entity tag is a hash of the answer's bytes, the same for every principal. It is weak when the same query may
    have another answer later (`changes`).
    """
    body, digest = _encoded(value)
    tag = f'{"W/" if changes else ""}"{digest}"'
    kept = {**(headers or {}), "ETag": tag}
    if has(request, tag):
        return Response(status_code=304, headers=kept)
    return Response(body, 200, kept, "application/json")


def _encoded(value: msgspec.Struct) -> tuple[bytes, str]:
    """`value` as JSON, encoded once, and a hash of it in which `as_of_position` counts as 0.

    Every read moves that position, because each is recorded as an event itself, although the answer is unchanged.
    """
    names = value.__struct_encode_fields__
    if "as_of_position" not in names:
        body = msgspec.json.encode(value)
        return body, blake2b(body, digest_size=16).hexdigest()
    digest = blake2b(digest_size=16)
    parts: list[bytes] = []
    for at, (name, field) in enumerate(zip(names, value.__struct_fields__, strict=True)):
        key = b"%s%s:" % (b"," if at else b"{", msgspec.json.encode(name))
        encoded = msgspec.json.encode(getattr(value, field))
        parts += (key, encoded)
        digest.update(key)
        digest.update(b"0" if name == "as_of_position" else encoded)
    digest.update(b"}")
    return b"".join((*parts, b"}")), digest.hexdigest()


def has(request: Request, tag: str) -> bool:
    """Whether a client's tags (`If-None-Match`) include ours, by the weak comparison of the RFC."""
    plain = tag.removeprefix("W/")
    given = ",".join(request.headers.getlist("if-none-match"))
    return any(each.strip().removeprefix("W/") in {plain, "*"} for each in given.split(","))


def link_header(**links: str | None) -> dict[str, str]:
    """The header `Link` (RFC 8288) of the given links, by relation."""
    given = [f'<{url}>; rel="{relation}"' for relation, url in links.items() if url]
    return {"Link": ", ".join(given)} if given else {}
