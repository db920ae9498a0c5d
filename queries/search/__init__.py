"""Search events: a prepared query, its access path, and pages in the order of the log or of time."""
