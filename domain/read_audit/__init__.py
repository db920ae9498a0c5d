"""The events that record reads of the trail."""
