"""Detection in `project`: which rules count, and the events of alerts."""
