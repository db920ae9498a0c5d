"""Python's garbage collector in processes that handle large batches."""

from __future__ import annotations

import gc

BATCHES = 100_000
"""New objects before the collector runs, in a process that handles batches. It then runs for 0.1 to 0.2 s."""
ANSWERS = 10_000
"""The same for a process that answers requests, which wait while the collector runs: it takes some milliseconds."""


def spare_the_collector(young: int = BATCHES) -> None:
    """Run the collector less often: for processes whose batches have thousands of objects, all gone after the batch.

    With Python's own thresholds the collector walks each batch several times and finds nothing: measured at a tenth of
    ingest's time. The objects that exist now, those of the loaded modules, are never looked at again.
    """
    gc.freeze()
    gc.set_threshold(young, 20, 100)
