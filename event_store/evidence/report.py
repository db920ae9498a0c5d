"""The page that shows the events of a kit. verify.py generates it again from verified data, and compares.

It needs Python 3.9 or later and nothing else. Event texts are untrusted: none of them becomes markup.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

ORDERS = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Invisible characters and characters that change the text direction.

They are listed here instead of read from Python's Unicode tables, because those differ between Python releases and
every release must generate the same report.
"""
PLAIN = re.compile("[A-Za-z_][A-Za-z0-9_.-]*")
"""Field names that need no quotes."""
REPORT_END = "</main></body></html>\n"
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;color:#111;margin:2em auto;max-width:60em;padding:0 1em}"
    "h2{font-size:1.05em;margin:1.6em 0 .3em}section{break-inside:avoid}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{border:1px solid #bbb;padding:.2em .5em;text-align:left;vertical-align:top}"
    "th{width:11em;background:#f3f3f3;font-weight:600}td{white-space:pre-wrap;overflow-wrap:anywhere}"
    "@media print{body{margin:0;max-width:none;font-size:10pt}}"
)
LABELS = {
    "occurred_at": "When", "recorded_at": "Recorded", "actor": "Who", "type": "What", "action": "Action",
    "patients": "Patients", "device": "Device", "resources": "Resources", "changes": "Changes",
    "purpose_of_use": "Why", "reason": "Reason", "emergency": "Emergency access", "outcome": "Outcome",
    "outcome_reason": "Reason of outcome", "client": "From", "session": "Session", "source": "Reported by",
}  # fmt: skip
"""The fields that come first, and their labels in the report."""
OURS = {*LABELS.values(), "Stream"}
"""The labels of the report: an event field with such a name is quoted."""


def report_head(manifest: dict[str, Any]) -> str:
    """The beginning of report.html: the selection, and what it is verified against."""
    head = manifest["tree_head"]
    rows = [("Selection", readable(manifest["selection"])), ("Events", digits(manifest["events"]))]
    rows += [
        ("Complete up to position", digits(manifest["as_of_position"])),
        ("Records lost before", readable(manifest["recording_gaps"]) or "none on record"),
        ("Made at", readable(manifest["created_at"])),
    ]
    rows += [("Made by", readable(manifest["program"])), ("Log", readable(head["origin"]))]
    rows += [("Signed tree", f"{head['size']} events, root hash {head['root_hash']}")]
    rows += [("Cosigned by", readable(head["cosigned_by"]) or "nobody")]
    if "witness_policy" in manifest:
        rows += [("Witness policy", readable(manifest["witness_policy"]))]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Audit evidence</title>\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{STYLE}</style></head><body><main>\n<h1>Audit evidence</h1>\n{table(rows)}"
        "<p>Reading this page proves nothing yet: README.txt says how to check what it shows.</p>\n"
    )


def report_event(line: bytes) -> str:
    """The section of report.html for one line of events.ndjson, with all its fields."""
    record = json.loads(line, parse_int=Number, parse_float=Number)
    aggregate = record["format"] == "100"
    event = {**record["event"], "recorded_at": record["recorded_at"]}
    event = event if aggregate else {"outcome": "success", **event}
    order = [*(name for name in LABELS if name in event), *(name for name in event if name not in LABELS)]
    rows = [(LABELS.get(name) or field(name), readable(event[name])) for name in order]
    rows += [("Stream", f"{record['stream']} at {record['stream_position']}, format {record['format']}")]
    title = f"{record['position']}: {readable(event.get('type', 'event') if aggregate else event['type'])}"
    return f"<section><h2>{visible(title)}</h2>\n{table(rows)}</section>\n"


class Number(str):
    """A number in its original notation: unlike text, it is shown without quotes."""

    __slots__ = ()


def readable(value: Any) -> str:
    """A JSON value as readable text: an object as its fields, a list with one line for each item.

    Every text is quoted, so that none can pass for another field or line: ``name: "Ann, id: u9"``.
    """
    pieces: list[str] = []
    collect(value, pieces, inside=False)
    return "".join(pieces)


def collect(value: Any, pieces: list[str], *, inside: bool) -> None:
    """Add the pieces of `readable`, so that nested values are joined once, not at each level.

    With `inside` (an object), brackets mark the end of a value.
    """
    if isinstance(value, dict):
        pieces.append("{" if inside else "")
        for index, (name, item) in enumerate(value.items()):
            pieces.append(f"{', ' if index else ''}{field(name)}: ")
            collect(item, pieces, inside=True)
        pieces.append("}" if inside else "")
    elif isinstance(value, list):
        pieces.append("[" if inside else "")
        for index, item in enumerate(value):
            pieces.append((", " if inside else "\n") if index else "")
            collect(item, pieces, inside=inside)
        pieces.append("]" if inside else "")
    elif value is None:
        pieces.append("null" if inside else "")
    elif isinstance(value, bool):
        pieces.append("yes" if value else "no")
    else:
        pieces.append(str(value) if isinstance(value, Number) else quoted(value))


def digits(value: Any) -> str:
    """A number that the manifest stores as text."""
    return str(value) if re.fullmatch("[0-9]+", str(value)) else readable(value)


def field(name: str) -> str:
    """A field name, quoted when it is ambiguous."""
    return name if PLAIN.fullmatch(name) and name not in OURS else quoted(name)


def quoted(text: str) -> str:
    """A quoted text on one line. Backslashes are doubled, so that `visible` can add escapes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def table(rows: list[tuple[str, str]]) -> str:
    """A table of the non-empty rows."""
    cells = (f"<tr><th>{visible(name)}</th><td>{visible(text)}</td></tr>\n" for name, text in rows if text)
    return f"<table>\n{''.join(cells)}</table>\n"


def visible(text: str) -> str:
    """Text for HTML. It can be neither markup nor invisible."""
    escaped = ORDERS.sub(lambda match: match[0] if match[0] == "\n" else ascii(match[0])[1:-1], text)
    return html.escape(escaped)
