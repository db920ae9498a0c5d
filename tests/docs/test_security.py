"""The table of trust boundaries in SECURITY.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOUNDARIES = (
    *("Kafka producers", "HTTP clients", "OIDC issuers", "Witnesses", "Webhooks", "Receivers of followers"),
    *("file of followers", "heads", "Analysts", "SQL", "uses the publishing client"),
    *("answer the publishing client", "evidence kits", "names files to commands", "PostgreSQL itself"),
    "Operators",
)


def rows() -> list[list[str]]:
    text = (ROOT / "SECURITY.md").read_text("utf-8").partition("## Trust boundaries")[2]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_boundary_has_a_row() -> None:
    said = "\n".join(" ".join(row[:2]) for row in rows())
    assert [each for each in BOUNDARIES if each not in said] == []


def test_every_row_is_shown_by_a_test_that_exists() -> None:
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"(?m)^(?:async )?def (test_\w+)\(", file.read_text("utf-8"))
    }
    for row in rows():
        *_, shown_by = row
        named = re.findall(r"`(test_\w+)`", shown_by)
        assert named, row
        assert set(named) <= defined, set(named) - defined
        assert re.sub(r"`test_\w+`", "", shown_by).strip(" ,") == "", f"not a test's name: {shown_by}"
