"""FHIR R4 and R5: Bundles, single resources, and NDJSON as of a bulk export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, field

from detection.context.files.fhir_ids import Ids
from detection.context.files.fhir_rows import FhirRows
from detection.context.files.resources import Pages, parsed, read_document
from detection.context.files.source import Found, Source, Tally
from detection.context.tables import Table
from domain.errors import Reason, RejectedError
from domain.json_parsing import decode_json
from interop.fhir.elements import string
from interop.systems import Systems


class _Head(Struct, rename={"kind": "resourceType"}):
    kind: str


class _Search(Struct, gc=False):
    mode: str = "match"


_MATCH = _Search()


class _Entry(Struct, rename={"full_url": "fullUrl"}, gc=False):
    resource: msgspec.Raw = msgspec.Raw(b"")
    full_url: str | None = None
    search: _Search | None = None


class _Link(Struct, gc=False):
    relation: str = ""


class _Bundle(Struct, rename={"type_name": "resourceType"}):
    type_name: str
    type: str = ""
    total: int | None = None
    link: list[_Link] = field(default_factory=list)
    entry: list[_Entry] = field(default_factory=list)


class FhirReader:
    """Reads the rows of one table from several files. `base`: the server of ids that no full URL qualifies."""

    def __init__(self, table: Table, systems: Systems, base: str | None = None) -> None:
        self._rows = FhirRows(table)
        self._systems = systems
        self._base = base
        self._searches: dict[str, Pages] = {}

    def read(self, source: Source, tally: Tally) -> Iterator[Found]:
        """The rows of a file that need no other resource. Raises `RejectedError` that names file and resource."""
        if _is_resource(source.first_line()):
            for number, line in source.lines():
                if line.strip():
                    place = source.place(number)
                    yield from self._resource(parsed(line.encode(), place), place, None, tally)
            return
        document = read_document(source)
        if _type_of(document, source) != "Bundle":
            yield from self._resource(parsed(document, source.name), source.name, None, tally)
            return
        yield from self._bundle(document, source, tally)

    def finish(self, tally: Tally) -> Iterator[Found]:
        """The rows that need several resources, such as people with their roles."""
        for kind, pages in self._searches.items():
            pages.check(f"resources of the search for {kind}")
        return self._rows.finish(tally)

    def _bundle(self, document: bytes, source: Source, tally: Tally) -> Iterator[Found]:
        try:
            bundle = msgspec.json.decode(document, type=_Bundle)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
            raise RejectedError(
                Reason.INVALID_FIELD, f"this is no Bundle of FHIR: {exc}", field=source.name
            ) from exc
        matches, kind = 0, None
        for number, entry in enumerate(bundle.entry):
            if not bytes(entry.resource):
                tally.leave_out("an entry without a resource")
                continue
            place = f"{source.name}, entry[{number}]"
            resource = parsed(entry.resource, place)
            if (entry.search or _MATCH).mode == "match":
                matches += 1
                kind = kind or string(resource.get("resourceType"))
            yield from self._resource(resource, place, entry.full_url, tally)
        if bundle.type == "searchset":
            pages = self._searches.setdefault(kind or "nothing", Pages())
            pages.add(matches, bundle.total, last=all(link.relation != "next" for link in bundle.link))

    def _resource(
        self, resource: dict[str, Any], place: str, full_url: str | None, tally: Tally
    ) -> Iterator[Found]:
        kind = string(resource.get("resourceType")) or "a resource without a type"
        tally.read += 1
        ids = Ids(resource, self._systems, full_url, self._base)
        yield from self._rows.read(kind, resource, ids, f"{place} ({kind[:64]})", tally)


def _is_resource(line: bytes) -> bool:
    """Whether the line is a whole resource, as in NDJSON."""
    try:
        found: Any = decode_json(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    kind = found.get("resourceType") if isinstance(found, dict) else None
    return isinstance(kind, str) and kind != "Bundle"


def _type_of(document: bytes, source: Source) -> str:
    try:
        return msgspec.json.decode(document, type=_Head).kind
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise RejectedError(
            Reason.INVALID_JSON, f"this is neither FHIR in JSON nor NDJSON: {exc}", field=source.name
        ) from exc
