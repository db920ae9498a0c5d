"""Bodies in the OpenAPI document: schemas of the structs, examples, and problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from domain.event import AuditEvent
from web.http.problems import MEDIA_TYPE, Problem
from web.openapi.parameters import describe_parameters
from web.parameters.schemas import for_generators, request_schemas

_REF = "#/components/schemas/{name}"
_SCHEME = "token"

NATIVE_EXAMPLE: dict[str, Any] = {
    "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01",
    "type": "record.read",
    "occurred_at": "2026-03-01T08:15:30.120Z",
    "source": {"service": "patient-service", "site": "north"},
    "actor": {"kind": "user", "id": "Practitioner/17", "name": "Dr. Ada Example", "roles": ["physician"]},
    "patients": [{"id": "17"}],
    "resources": [{"type": "Observation", "id": "o-1"}],
    "purpose_of_use": ["TREAT"],
    "correlation_id": "req-7f3a",
}
NO_EVENT = "no event has this id"
EVENT_EXAMPLE: dict[str, Any] = {
    "position": 1042,
    "recorded_at": "2026-03-01T08:15:30.154Z",
    "stream": "4f1a4be4-5b8e-5f57-a2b5-2f70c0a3a0c1",
    "stream_position": 311,
    "event": NATIVE_EXAMPLE,
}
_DETAILS = {
    400: "the request has invalid or unknown parameters",
    401: "the token has expired",
    403: "not allowed with these credentials",
    404: "the path names nothing that you may see",
    408: "the body did not arrive in time",
    409: "the answer is not complete up to that position yet",
    413: "the body may be 5242880 bytes long",
    406: "the answer has another media type",
    415: "send the events as one of application/json, application/fhir+json",
    422: "no item is a valid audit event",
    429: "too many requests; try again",
    501: "Parquet needs pyarrow, which is not installed",
    503: "a required service is away; try again",
}
_ERRORS: dict[int, list[dict[str, Any]]] = {
    400: [{"field": "occurred_from", "message": "Input should have timezone info"}],
    409: [
        {
            "field": "min_position",
            "message": "not reached yet: complete up to position 1044",
            "as_of_position": 1044,
        }
    ],
    422: [{"index": 0, "reason": "missing_field", "field": "actor", "message": "this field is required"}],
}
_CHALLENGE = {
    "WWW-Authenticate": {
        "description": "The error of the token (RFC 6750).",
        "schema": {"type": "string"},
        "example": 'Bearer realm="audit-trail", error="invalid_token", error_description="the token has expired"',
    }
}
_RETRY = {
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer"},
        "example": 5,
    }
}

_TAGS = {
    "ETag": {
        "description": "Send it as `If-None-Match` to get 304 while the answer is unchanged.",
        "schema": {"type": "string"},
        "example": 'W/"4f0c7d1a2b3c4d5e6f708192a3b4c5d6"',
    },
    "Link": {
        "description": "RFC 8288: the previous and the next page, or related resources.",
        "schema": {"type": "string"},
        "example": '</v1/events?first=1&after=cDE6MTA0Mg>; rel="next"',
    },
}

Responses = dict[int | str, dict[str, Any]]


def answer(status: int, kind: type[msgspec.Struct], example: Mapping[str, Any]) -> Responses:
    """The documentation of a JSON answer."""
    content = {"schema": {"$ref": _REF.format(name=kind.__name__)}, "example": example}
    return {status: {"description": HTTPStatus(status).phrase, "content": {"application/json": content}}}


def content(media_type: str, example: str | None = None) -> Responses:
    """The documentation of an answer that is not JSON."""
    schema: dict[str, Any] = {"type": "string"}
    if example is None and not media_type.startswith("text/"):
        schema["format"] = "binary"
    described: dict[str, Any] = {"schema": schema} | ({} if example is None else {"example": example})
    return {200: {"description": HTTPStatus.OK.phrase, "content": {media_type: described}}}


def problems(*statuses: int, missing: str = "") -> Responses:
    """The documentation of problem answers. `missing` is the detail of a 404.

    FastAPI's own 422 is never sent, and is removed from the document.
    """
    details = _DETAILS | ({404: missing} if missing else {})
    return {status: _problem(status, details) if status >= 400 else _bodiless(status) for status in statuses}


def _bodiless(status: int) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase}


def _problem(status: int, details: Mapping[int, str]) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    example: dict[str, Any] = {"title": phrase, "status": status}
    if status in details:
        example["detail"] = details[status]
    if status in _ERRORS:
        example["errors"] = _ERRORS[status]
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}, "example": example}}
    headers = _RETRY if status in {429, 503} else _CHALLENGE if status == HTTPStatus.UNAUTHORIZED else None
    return {"description": phrase, "content": content} | ({} if headers is None else {"headers": headers})


def install(
    app: FastAPI,
    kinds: list[type[msgspec.Struct]],
    is_open: Callable[[str], bool],
    most: Callable[[str, str], int | None],
    *,
    prefix: str = "",
) -> None:
    """Add the schemas of `kinds` to the document of `app`, which is made at the first request for it.

    `is_open` says which paths need no token, and `most` gives the largest value of a path's number parameter. `prefix`
    is the beginning of the public path of every route.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                servers=[{"url": prefix}] if prefix else None,
            )
            _, schemas = msgspec.json.schema_components([Problem, AuditEvent, *kinds], ref_template=_REF)
            texts = _texts(schemas)
            schemas, made = _with_texts(schemas, texts), _with_texts(made, texts)
            made.setdefault("components", {}).setdefault("schemas", {}).update(for_generators(schemas))
            made["components"]["schemas"].update(request_schemas(describe_parameters(made, most)))
            for name, schema in made["components"]["schemas"].items():
                schema["title"] = name
            _drop_default_problems(made)
            _document_caching(made)
            _document_security(made, is_open)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _texts(schemas: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Take the enumerations that share a value with an earlier one out of `schemas`; each as a text, by its reference.

    Generators for Go make constants of values, without the name of the type.
    """
    seen: set[str] = set()
    texts = {}
    for name, schema in list(schemas.items()):
        values = schema.get("enum", ())
        if seen.intersection(values):
            del schemas[name]
            texts[_REF.format(name=name)] = {"type": "string", "pattern": f"^({'|'.join(values)})$"}
        seen.update(values)
    return texts


def _with_texts(here: Any, texts: Mapping[str, dict[str, str]]) -> Any:
    """The same schema, with these texts in the place of references to them."""
    if isinstance(here, list):
        return [_with_texts(each, texts) for each in here]
    if not isinstance(here, dict):
        return here
    rest = {name: _with_texts(each, texts) for name, each in here.items() if name != "$ref"}
    return rest | texts.get(here["$ref"], {"$ref": here["$ref"]}) if "$ref" in here else rest


def _document_security(document: dict[str, Any], is_open: Callable[[str], bool]) -> None:
    document["components"]["securitySchemes"] = {
        _SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "A JSON Web Token of an issuer that is trusted here, or an API token.",
        }
    }
    document["security"] = [{_SCHEME: []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if is_open(path) else [{_SCHEME: []}]
            if is_open(path):
                continue
            for status, response in problems(401, 429, 503).items():
                operation["responses"].setdefault(str(status), response)


def _document_caching(document: dict[str, Any]) -> None:
    """Document the `ETag` of answers that may be 304, and the `Link` of answers with pages."""
    for path in document["paths"].values():
        for operation in path.values():
            kept = [
                operation["responses"][status] for status in ("200", "304") if "304" in operation["responses"]
            ]
            for response in kept:
                response.setdefault("headers", {}).update(_TAGS)


def _drop_default_problems(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if "application/json" in responses.get("422", {}).get("content", {}):
                del responses["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
