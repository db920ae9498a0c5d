"""The page that shows a kit's events to people. verify.py makes it again from what it has checked, and compares.

It needs Python 3.9 or later and nothing else. The texts of an event can be anybody's: none of them becomes markup.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

ORDERS = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Characters that no text shows and that can turn its order around."""
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
"""The fields that come first, and what the report calls them."""


def report_head(manifest: dict[str, Any]) -> str:
    """The beginning of report.html: what was chosen, and what it is checked against."""
    head = manifest["tree_head"]
    rows = [("Selection", shown(manifest["selection"])), ("Events", str(manifest["events"]))]
    rows += [
        ("Complete up to position", str(manifest["as_of_position"])),
        ("Records lost before", shown(manifest["recording_gaps"]) or "none on record"),
        ("Made at", manifest["created_at"]),
    ]
    rows += [("Made by", manifest["program"]), ("Log", head["origin"])]
    rows += [("Signed tree", f"{head['size']} events, root hash {head['root_hash']}")]
    rows += [("Cosigned by", shown(head["cosigned_by"]) or "nobody")]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Audit evidence</title>\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{STYLE}</style></head><body><main>\n<h1>Audit evidence</h1>\n{table(rows)}"
        "<p>Reading this page proves nothing yet: README.txt says how to check what it shows.</p>\n"
    )


def report_event(line: bytes) -> str:
    """The section of report.html that shows a line of events.ndjson, every field of it."""
    record = json.loads(line, parse_int=str, parse_float=str)
    event = {"outcome": "success", **record["event"], "recorded_at": record["recorded_at"]}
    order = [*(name for name in LABELS if name in event), *(name for name in event if name not in LABELS)]
    rows = [(LABELS.get(name, name), shown(event[name])) for name in order]
    rows += [("stream", f"{record['stream']} at {record['stream_position']}, format {record['format']}")]
    title = f"{record['position']}: {event['type']}"
    return f"<section><h2>{visible(title)}</h2>\n{table(rows)}</section>\n"


def shown(value: Any) -> str:
    """JSON as text for people: an object as its fields, a list with one line for each item."""
    pieces: list[str] = []
    collect(value, pieces)
    return "".join(pieces)


def collect(value: Any, pieces: list[str]) -> None:
    """Add the same in pieces: what is nested deeply is put together once, and not again at each level."""
    if isinstance(value, dict):
        for index, (name, item) in enumerate(value.items()):
            pieces.append(f"{', ' if index else ''}{name}: ")
            collect(item, pieces)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            pieces.append("\n" if index else "")
            collect(item, pieces)
    elif value is None or value is True or value is False:
        pieces.append({None: "", True: "yes", False: "no"}[value])
    else:
        pieces.append(value)


def table(rows: list[tuple[str, str]]) -> str:
    """Rows with something in them, as a table."""
    cells = (f"<tr><th>{visible(name)}</th><td>{visible(text)}</td></tr>\n" for name, text in rows if text)
    return f"<table>\n{''.join(cells)}</table>\n"


def visible(text: str) -> str:
    """Text for HTML. It can neither be markup nor hide what it says."""
    escaped = ORDERS.sub(lambda match: match[0] if match[0] == "\n" else ascii(match[0])[1:-1], text)
    return html.escape(escaped)
