"""Dead letters: a list by reason and topic, and one with its message, or the outline of it, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlencode

from msgspec import Struct

from dashboard import links
from dashboard.operations.requests import RequestRow, request_row
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.errors import Reason
from queries.operations import LetterPage, WorkerState
from queries.scoped.operations import ShownLetter

PATH = "/operations/dead-letters"
TEXT_BYTES = 16 << 10
"""Bytes of a message that a page shows as text; the download has all."""
HEX_BYTES = 2 << 10
_ROW_BYTES = 16

IN_WORDS = {
    Reason.INVALID_JSON: "It is not JSON.",
    Reason.INVALID_ENCODING: "It is not UTF-8 text.",
    Reason.INVALID_FIELD: "A field has a value that it may not have.",
    Reason.MISSING_FIELD: "A field is missing that this type of event needs.",
    Reason.UNKNOWN_FIELD: "It has a field that the format does not have, often a misspelt one.",
    Reason.UNKNOWN_TYPE: "The catalogue of this version has no such event type.",
    Reason.UNKNOWN_FORMAT: "It is in no format that ingest reads.",
    Reason.UNSUPPORTED_VERSION: "Its format has a version that this program does not read.",
    Reason.OVERSIZED: "It is larger than the settings allow.",
    Reason.TOO_DEEP: "It is nested too deeply, or has too many parts.",
    Reason.TOMBSTONE: "It has no value: a deletion in Kafka, which is no event.",
    Reason.CONFLICT: "The trail has another event with the same event id.",
    Reason.BROKEN_BATCH: "Kafka's batch contradicts itself, or expands too far.",
    Reason.UNSTORABLE: "The database can't store its content.",
}


class LetterLine(Struct, frozen=True, kw_only=True):
    """One dead letter in the list. `state` is the newest decision."""

    id: int
    link: str
    at: Moment
    place: str
    reason: str
    field: str
    message: str
    size: int
    state: str


class DeadLetterList(View, frozen=True, kw_only=True):
    """The list. `older` is the link to the next page; empty on the last one."""

    template: ClassVar[str] = "dead_letters.html"
    rows: list[LetterLine]
    reasons: list[str]
    reason: str
    topic: str
    older: str
    first: str


class Decided(Struct, frozen=True):
    """A decision on a dead letter."""

    what: str
    by: str
    reason: str
    at: Moment


class Bytes(Struct, frozen=True):
    """Bytes as a page shows them. `form` is ``text`` or ``hex``; `left_out` of them are not shown."""

    form: str
    text: str
    left_out: int


class DeadLetterPage(View, frozen=True, kw_only=True):
    """One dead letter. `value` is None for those who may not see messages; they get the `outline`."""

    template: ClassVar[str] = "dead_letter.html"
    id: int
    at: Moment
    sent_at: Moment | None
    place: str
    reason: str
    in_words: str
    field: str
    message: str
    sizes: dict[str, int]
    cut: str
    headers: int
    value: Bytes | None
    key: Bytes | None
    header_lines: list[tuple[str, Bytes]]
    outline: list[str]
    whole: bool
    decisions: list[Decided]
    requests: list[RequestRow]
    may_decide: bool
    open_request: bool
    dismissed: bool
    can_be_requeued: bool
    recorded_link: str
    recorded_position: int | None
    again_link: str


def dead_letter_list(
    page: LetterPage, viewer: Viewer, *, reason: Reason | None, topic: str | None
) -> DeadLetterList:
    """The list of one page."""
    given = [("reason", reason.value)] if reason else []
    given += [("topic", topic)] if topic else []
    older = [*given, ("before", str(page.rows[-1].letter.id))] if page.more else []
    rows = []
    for letter, size in page.rows:
        decided = page.decisions[letter.id]
        rows.append(
            LetterLine(
                id=letter.id,
                link=f"{PATH}/{letter.id}",
                at=viewer.moment(letter.received_at),
                place=_place(letter.topic, letter.partition, letter.offset, letter.last_offset),
                reason=letter.reason.value,
                field=letter.field,
                message=letter.message,
                size=size,
                state=decided[-1].what.value if decided else "open",
            )
        )
    return DeadLetterList(
        viewer=viewer,
        title="Dead letters",
        rows=rows,
        reasons=[each.value for each in Reason],
        reason=reason.value if reason else "",
        topic=topic or "",
        older=f"{PATH}?{urlencode(older)}" if older else "",
        first=f"{PATH}?{urlencode(given)}" if given else PATH,
    )


def dead_letter_page(shown: ShownLetter, workers: dict[str, WorkerState], viewer: Viewer) -> DeadLetterPage:
    """The page of one dead letter."""
    found, letter = shown.found, shown.letter
    requests = [request_row(each, workers.get(each.kind.part), viewer) for each in found.requests]
    event_id, position = found.recorded or (None, None)
    last = None if letter.batch is None else letter.batch.last_offset
    decided = [
        Decided(each.what.value, each.by, each.reason, viewer.moment(each.at)) for each in found.decisions
    ]
    return DeadLetterPage(
        viewer=viewer,
        title=f"Dead letter {letter.id}",
        id=letter.id,
        at=viewer.moment(letter.received_at),
        sent_at=viewer.moment(letter.timestamp) if letter.timestamp else None,
        place=_place(letter.topic, letter.partition, letter.offset, last),
        reason=letter.reason.value,
        in_words=IN_WORDS[letter.reason],
        field=letter.field,
        message=letter.message,
        sizes=shown.sizes,
        cut="only its beginning is kept" if letter.is_cut else "",
        headers=shown.headers,
        value=shown_bytes(letter.value) if shown.whole and letter.value is not None else None,
        key=shown_bytes(letter.key) if shown.whole and letter.key is not None else None,
        header_lines=[(name, shown_bytes(value)) for name, value in letter.headers],
        outline=shown.outline,
        whole=shown.whole,
        decisions=decided,
        requests=requests,
        may_decide=viewer.may(Operation.DECIDE_DEAD_LETTERS),
        open_request=any(each.open for each in requests),
        dismissed=bool(decided) and decided[-1].what == "dismissed",
        can_be_requeued=shown.can_be_requeued,
        recorded_link=links.event(event_id) if event_id and viewer.may(Operation.READ_EVENTS) else "",
        recorded_position=position,
        again_link="" if found.rejected_again is None else f"{PATH}/{found.rejected_again}",
    )


def shown_bytes(data: bytes | None) -> Bytes:
    """Bytes for a page: UTF-8 text without control characters as text, all else in hexadecimal; bounded."""
    data = data or b""
    text = _text(data)
    if text is not None:
        return Bytes("text", text, len(data) - len(text.encode()))
    head = data[:HEX_BYTES]
    rows: Sequence[bytes] = [head[at : at + _ROW_BYTES] for at in range(0, len(head), _ROW_BYTES)]
    lines = (f"{at * _ROW_BYTES:06x}  {row.hex(' ')}" for at, row in enumerate(rows))
    return Bytes("hex", "\n".join(lines), len(data) - len(head))


def _text(data: bytes) -> str | None:
    """The beginning of the data as text; None for anything that is not text."""
    head = data[:TEXT_BYTES]
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as exc:
        if len(head) == len(data) or exc.start <= len(head) - 4:
            return None
        text = head[: exc.start].decode("utf-8")  # the bound cut a character
    return text if all(each.isprintable() or each in "\r\n\t" for each in text) else None


def _place(topic: str, partition: int, offset: int, last: int | None) -> str:
    return f"{topic}/{partition}/{offset}" + ("" if last is None else f"-{last}")
