"""Screenshots of the dashboard for the docs, of a running demonstration: ``make screenshots``.

Start `make demo` first. The pictures go to ``docs/how-to/images``.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.installed import installed

_FOLDER = Path(__file__).parents[1] / "docs/how-to/images"
_SHOTS = {
    "overview": "/",
    "events": "/explore?patient=1007",
    "patient": "/patients/1007",
    "device": "/devices/monitor-3",
}


def main(url: str) -> None:
    """Take all of them, as an auditor."""
    _FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        with closing(chromium):
            page = chromium.new_page(viewport={"width": 1200, "height": 760})
            page.goto(url)
            page.get_by_role("link", name="Auditor").click()
            for name, path in _SHOTS.items():
                page.goto(f"{url}{path}")
                page.screenshot(path=_FOLDER / f"{name}.png")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://127.0.0.1:8000"]))
