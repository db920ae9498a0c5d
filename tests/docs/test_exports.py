"""The page on exports names what is exported, and the notebook runs on an export."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec

from audit_trail.export.file import export_to_file
from queries.export.columns import EVENT_COLUMNS
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from tests.docs.pages import ROOT
from tests.trail import START, Trail, an_event

NOTEBOOK = ROOT / "docs/notebooks/a-week-of-accesses.ipynb"


def code_cells() -> list[str]:
    notebook = msgspec.json.decode(NOTEBOOK.read_bytes())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    return ["".join(cell["source"]) for cell in code]


def test_the_page_on_exports_has_every_column_of_events() -> None:
    page = (ROOT / "docs/how-to/export.md").read_text(encoding="utf-8")
    columns = page.partition("## Columns of events")[2]
    assert [column.name for column in EVENT_COLUMNS if f"`{column.name}`" not in columns] == []


def test_the_notebook_draws_a_week_of_accesses(migrated_url: str, tmp_path: Path) -> None:
    trail = Trail(migrated_url)
    trail.given(
        *(
            an_event(
                occurred_at=(START + timedelta(days=day, hours=hour)).isoformat(),
                actor={"id": f"u{hour % 2}"} if hour else {"kind": "unknown"},
                patients=[{"id": str(hour)}],
                emergency=hour == 5,
            )
            for day in range(10)
            for hour in range(6)
        )
    )
    file = tmp_path / "it's events.parquet"
    export_to_file(Exports(trail.reader), ExportRequest(format=Format.PARQUET), file)
    trail.close()
    checks = "print(sum(usual), sum(emergency), sum(map(sum, grid.values())), len(plt.get_fignums()))"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*code_cells(), checks])],
        env=os.environ | {"EVENTS": str(file), "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The seven days that end at 13:00 on the tenth have all of their 6 accesses but for the first moment of the first.
    assert done.stdout.splitlines()[-1] == "35 7 42 2"
