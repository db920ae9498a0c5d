"""The pictures of the dashboard: each is taken by the script, stands in the docs with a text, and is small."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests import screenshots
from tests.audit_trail.programs import PROGRAM, environment, eventually
from tests.docs.pages import ROOT, pages

_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+\.png)\)")
_MOST_BYTES = 150_000
_NAMES = {f"{shot.name}.png" for shot in screenshots.SHOTS}


def _shown() -> dict[Path, set[str]]:
    """The pictures that pages of the docs show, with their alternative texts."""
    found: dict[Path, set[str]] = {}
    for page in pages():
        for text, target in _PICTURE.findall(page.read_text(encoding="utf-8")):
            found.setdefault((page.parent / target).resolve(), set()).add(text)
    return found


def test_every_picture_is_taken_and_shown() -> None:
    shown = _shown()
    assert {each.name for each in shown} == _NAMES
    assert {each.name for each in screenshots.FOLDER.iterdir()} == _NAMES
    assert {each.parent for each in shown} == {screenshots.FOLDER}
    dashboard = (ROOT / "docs/how-to/dashboard.md").read_text(encoding="utf-8")
    assert [name for name in _NAMES if f"(images/{name})" not in dashboard] == []


def test_every_picture_has_an_alternative_text_and_is_small() -> None:
    for picture, texts in _shown().items():
        assert all(len(each) > 20 for each in texts), picture.name
        assert picture.stat().st_size < _MOST_BYTES, picture.name


@pytest.mark.thorough
@pytest.mark.needs_program("chromium")
def test_the_script_takes_every_picture_of_a_demonstration(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "demo.log"
    with log.open("w") as file:
        demo = subprocess.Popen(
            [*PROGRAM, "demo"], env=environment(http_port=str(port)), stdout=file, stderr=file
        )
    try:
        assert eventually(lambda: "Ctrl-C" in log.read_text(), 90), log.read_text()
        url, folder = f"http://127.0.0.1:{port}", tmp_path / "images"
        screenshots.main(url, folder)
        assert {each.name for each in folder.iterdir()} == _NAMES
        assert all(each.stat().st_size < _MOST_BYTES for each in folder.iterdir())
        absent = screenshots.Shot("absent", "auditor", "/patients/absent")
        with pytest.raises(SystemExit, match=r"^absent: .* answered 404"):
            screenshots.main(url, tmp_path / "none", [absent])
    finally:
        demo.terminate()
        demo.wait(60)
